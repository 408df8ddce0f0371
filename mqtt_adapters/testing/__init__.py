"""A broker to test an application against, as the pytest plugin hands it out: `mqtt_adapters.testing.broker`."""
