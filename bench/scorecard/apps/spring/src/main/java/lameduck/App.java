package lameduck;

import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.context.SmartLifecycle;
import org.springframework.stereotype.Component;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class App {
  public static void main(String[] args) {
    SpringApplication.run(App.class, args);
  }

  @GetMapping("/fast")
  public String fast() {
    return "ok";
  }

  @GetMapping("/slow")
  public String slow() throws InterruptedException {
    Thread.sleep(1000);
    return "ok";
  }

  /** The lame duck of docs/other-languages.md. */
  @Component
  @ConditionalOnProperty("lameduck")
  static class LameDuck implements SmartLifecycle, Filter {
    private volatile boolean lame, running;

    @Override
    public void doFilter(ServletRequest q, ServletResponse s, FilterChain c) throws IOException, ServletException {
      if (lame) ((HttpServletResponse) s).setHeader("Connection", "close");
      c.doFilter(q, s);
    }

    @Override
    public void start() {
      running = true;
    }

    @Override
    public boolean isRunning() {
      return running;
    }

    @Override
    public int getPhase() {
      return Integer.MAX_VALUE;
    }

    @Override
    public void stop() {
      lame = true;
      try {
        Thread.sleep(3000);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      running = false;
    }
  }
}
