// node server.js PORT default|close|lameduck
const http = require("http");
const [port, how] = [Number(process.argv[2]), process.argv[3]];
let lame = false;
let inHand = 0;
const server = http.createServer((request, response) => {
  inHand++;
  response.on("close", () => inHand--);
  if (lame) response.setHeader("Connection", "close");
  const say = () => {
    if (lame && !response.headersSent) response.setHeader("Connection", "close");
    response.end("ok");
  };
  request.url === "/slow" ? setTimeout(say, 1000) : say();
});
server.listen(port, "127.0.0.1");
if (how === "close") process.on("SIGTERM", () => server.close());
if (how === "lameduck")
  process.on("SIGTERM", () => {
    if (lame) process.exit(0);
    lame = true;
    setTimeout(function wait() {
      if (inHand) return setTimeout(wait, 50);
      server.close(() => process.exit(0));
      server.closeIdleConnections();
    }, 3000);
  });
