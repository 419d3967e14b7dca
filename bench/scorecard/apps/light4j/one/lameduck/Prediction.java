package lameduck;

import com.networknt.server.HandlerProvider;
import io.undertow.server.HttpHandler;
import io.undertow.server.HttpServerExchange;
import io.undertow.server.ServerConnection;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.xnio.IoUtils;
import sun.misc.Signal;

/** Any path at once, /slow after a second; with the property lameduck it is a lame duck (docs/other-languages.md). */
public final class Prediction implements HandlerProvider {
  private volatile boolean lame;
  private final AtomicInteger inHand = new AtomicInteger();
  private final Set<ServerConnection> open = ConcurrentHashMap.newKeySet();

  @Override
  public HttpHandler getHandler() {
    HttpHandler app = Prediction::answer;
    if (!Boolean.getBoolean("lameduck")) return app;
    Signal.handle(new Signal("TERM"), signal -> new Thread(this::leave).start());
    return exchange -> {
      inHand.incrementAndGet();
      ServerConnection connection = exchange.getConnection();
      if (open.add(connection)) connection.addCloseListener(open::remove);
      exchange.addExchangeCompleteListener((done, next) -> {
        inHand.decrementAndGet();
        next.proceed();
      });
      if (lame) exchange.setPersistent(false);
      app.handleRequest(exchange);
    };
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
    open.forEach(IoUtils::safeClose);
    System.exit(0);
  }

  private static void answer(HttpServerExchange exchange) throws Exception {
    if (exchange.getRequestPath().startsWith("/slow")) {
      if (exchange.isInIoThread()) {
        exchange.dispatch(Prediction::answer);
        return;
      }
      Thread.sleep(1000);
    }
    exchange.getResponseSender().send("ok");
  }
}
