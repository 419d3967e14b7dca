// node http2.js PORT default|close|goaway|lameduck: HTTP/2 in cleartext
const [port, how] = [Number(process.argv[2]), process.argv[3]];
const server = require("http2").createServer((request, response) => {
  request.url === "/slow" ? setTimeout(() => response.end("ok"), 1000) : response.end("ok");
});
const sessions = new Set();
server.on("session", (session) => {
  sessions.add(session);
  session.on("close", () => sessions.delete(session));
});
// session.close() lets the streams that are open end; it sends the GOAWAY when they have.
const goaway = () => {
  server.close();
  for (const session of sessions) session.close();
};
const ways = {
  default() {},
  close: () => process.on("SIGTERM", () => server.close()),
  goaway: () => process.on("SIGTERM", goaway),
  lameduck: () => process.on("SIGTERM", () => setTimeout(goaway, 3000)),
};
ways[how]();
server.listen(port, "127.0.0.1");
