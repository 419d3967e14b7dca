package lameduck;

import io.micronaut.http.annotation.Controller;
import io.micronaut.http.annotation.Get;
import io.micronaut.runtime.Micronaut;
import io.micronaut.scheduling.TaskExecutors;
import io.micronaut.scheduling.annotation.ExecuteOn;

@Controller
public class App {
  public static void main(String[] words) {
    Micronaut.run(App.class, words);
  }

  @Get("/fast")
  public String fast() {
    return "ok";
  }

  @Get("/slow")
  @ExecuteOn(TaskExecutors.BLOCKING)
  public String slow() throws InterruptedException {
    Thread.sleep(1000);
    return "ok";
  }
}
