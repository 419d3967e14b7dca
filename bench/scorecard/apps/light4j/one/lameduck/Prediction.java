package lameduck;

import com.networknt.server.HandlerProvider;
import io.undertow.server.HttpHandler;
import io.undertow.server.HttpServerExchange;
import java.util.concurrent.atomic.AtomicInteger;
import sun.misc.Signal;

/** Any path at once, /slow after a second; with the property lameduck it is a lame duck (docs/other-languages.md). */
public final class Prediction implements HandlerProvider {
  private volatile boolean lame;
  private final AtomicInteger inHand = new AtomicInteger();

  @Override
  public HttpHandler getHandler() {
    if (Boolean.getBoolean("lameduck")) Signal.handle(new Signal("TERM"), signal -> new Thread(this::leave).start());
    return this::handle;
  }

  private void leave() {
    if (lame) System.exit(0);
    lame = true;
    try {
      Thread.sleep(3000);
      while (inHand.get() > 0) Thread.sleep(50);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    System.exit(0);
  }

  private void handle(HttpServerExchange exchange) throws Exception {
    if (exchange.isInIoThread()) {
      inHand.incrementAndGet();
      exchange.addExchangeCompleteListener((done, next) -> {
        inHand.decrementAndGet();
        next.proceed();
      });
      if (exchange.getRequestPath().startsWith("/slow")) {
        exchange.dispatch(this::handle);
        return;
      }
    } else {
      Thread.sleep(1000);
    }
    if (lame) exchange.setPersistent(false);
    exchange.getResponseSender().send("ok");
  }
}
