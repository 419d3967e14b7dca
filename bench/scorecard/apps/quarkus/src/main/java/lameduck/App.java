package lameduck;

import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;

@Path("/")
public class App {
  @GET
  @Path("fast")
  public String fast() {
    return "ok";
  }

  @GET
  @Path("slow")
  public String slow() throws InterruptedException {
    Thread.sleep(1000);
    return "ok";
  }
}
