// node server.js PORT default|close|terminus|lightship|http-graceful-shutdown|lameduck
const http = require("http");
const [port, how] = [Number(process.argv[2]), process.argv[3]];
let lame = false;
let inHand = 0;
const server = http.createServer((request, response) => {
  inHand++;
  response.on("close", () => inHand--);
  const say = () => {
    if (lame) response.setHeader("Connection", "close");
    response.end("ok");
  };
  request.url === "/slow" ? setTimeout(say, 1000) : say();
});
if (process.env.KEEP_ALIVE_MS) server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_MS);
const ways = {
  default() {},
  close() {
    process.on("SIGTERM", () => server.close());
  },
  terminus() {
    require("@godaddy/terminus").createTerminus(server, { signal: "SIGTERM", timeout: 20000, healthChecks: {} });
  },
  "http-graceful-shutdown"() {
    require("http-graceful-shutdown")(server, { timeout: 20000 });
  },
  // As in a cluster: it waits 5 s before it shuts down. It answers probes on a port of its own.
  async lightship() {
    const { createLightship } = await import("lightship");
    const ship = await createLightship({ detectKubernetes: false, port: 0, gracefulShutdownTimeout: 20000 });
    ship.registerShutdownHandler(() => new Promise((done) => server.close(done)));
    ship.signalReady();
  },
  lameduck() {
    process.on("SIGTERM", () => {
      if (lame) process.exit(0);
      lame = true;
      setTimeout(function wait() {
        if (inHand) return setTimeout(wait, 50);
        server.close(() => process.exit(0));
        server.closeAllConnections();
      }, 3000);
    });
  },
};
Promise.resolve(ways[how]()).then(() => server.listen(port, "127.0.0.1"));
