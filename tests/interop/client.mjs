// Drives mqtt.js from the tests: a JSON command a line on stdin, a JSON answer a line on stdout.
// Answers carry the command's id; messages that arrive are lines of their own: {"message": {...}}.
import mqtt from "mqtt";
import { createInterface } from "node:readline";

let client;
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const bytes = (text) => Buffer.from(text, "base64");

const commands = {
  connect: ({ host, port, protocol, path, id, version, clean, expiry, will }) =>
    new Promise((resolve, reject) => {
      client = mqtt.connect({
        host, port, protocol, path, clientId: id, clean, reconnectPeriod: 0,
        protocolVersion: version === "5.0" ? 5 : 4,
        properties: version === "5.0" && expiry ? { sessionExpiryInterval: expiry } : undefined,
        will: will && { ...will, payload: bytes(will.payload) },
      });
      client.on("message", (topic, payload, packet) =>
        say({ message: {
          topic, payload: payload.toString("base64"), qos: packet.qos, retain: packet.retain,
          userProperties: packet.properties?.userProperties ?? {}, contentType: packet.properties?.contentType ?? null,
        } }));
      client.once("connect", (packet) => resolve(packet.sessionPresent));
      client.once("error", reject);
      client.once("close", () => reject(new Error("closed")));
    }),
  subscribe: ({ filter, qos }) => client.subscribeAsync(filter, { qos }).then((granted) => granted[0].qos),
  publish: ({ topic, payload, qos, retain, properties }) =>
    client.publishAsync(topic, bytes(payload), { qos, retain, properties }).then(() => true),
  drop: async () => client.stream.destroy() && true,
  disconnect: () => client.endAsync().then(() => true),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, name, args } = JSON.parse(line);
  commands[name](args).then((value) => say({ id, value }), (error) => say({ id, error: String(error) }));
}
process.exit(0);
