package lameduck;

import io.undertow.server.HttpHandler;
import io.undertow.server.HttpServerExchange;

/** Any path at once, /slow after a second. */
public final class Prediction implements HttpHandler {
  @Override
  public void handleRequest(HttpServerExchange exchange) throws Exception {
    if (exchange.getRequestPath().startsWith("/slow")) {
      if (exchange.isInIoThread()) {
        exchange.dispatch(this);
        return;
      }
      Thread.sleep(1000);
    }
    exchange.getResponseSender().send("ok");
  }
}
