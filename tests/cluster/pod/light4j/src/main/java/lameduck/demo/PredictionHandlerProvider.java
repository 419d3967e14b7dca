package lameduck.demo;

import com.networknt.server.HandlerProvider;
import io.undertow.server.HttpHandler;
import io.undertow.util.Headers;

/** Answers every request at once with a prediction. */
public final class PredictionHandlerProvider implements HandlerProvider {
    @Override
    public HttpHandler getHandler() {
        return exchange -> {
            exchange.getResponseHeaders().put(Headers.CONTENT_TYPE, "application/json");
            exchange.getResponseSender().send("{\"prediction\": 0.5}\n");
        };
    }
}
