import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.impl.DefaultCamelContext;

/** Camel's lumberjack component, printing each event as JSON, one a line, before its window is acknowledged. */
public class Lumberjack {
    public static void main(String[] arguments) throws Exception {
        var mapper = new ObjectMapper();
        var camel = new DefaultCamelContext();
        camel.addRoutes(new RouteBuilder() {
            @Override
            public void configure() {
                from("lumberjack:" + arguments[0]).process(exchange -> {
                    var line = mapper.writeValueAsString(exchange.getMessage().getBody());
                    synchronized (System.out) {
                        System.out.println(line);
                    }
                });
            }
        });
        camel.start();
        Thread.currentThread().join();
    }
}
