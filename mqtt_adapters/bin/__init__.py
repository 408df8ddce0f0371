"""The command-line programs: ``mqtt-broker``, ``mqtt-producer``, ``mqtt-consumer``.

Law: a user's mistake is one line on stderr and a non-zero exit code, never a traceback; ``-h`` is the host, as people
have it in their fingers from mosquitto's tools, and ``--help`` is the help.
"""
