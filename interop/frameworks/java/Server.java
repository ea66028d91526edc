import io.modelcontextprotocol.json.McpJsonDefaults;
import io.modelcontextprotocol.server.McpServer;
import io.modelcontextprotocol.server.McpSyncServer;
import io.modelcontextprotocol.server.transport.StdioServerTransportProvider;
import io.modelcontextprotocol.spec.McpSchema.CallToolResult;
import io.modelcontextprotocol.spec.McpSchema.ElicitRequest;
import io.modelcontextprotocol.spec.McpSchema.ElicitResult;
import io.modelcontextprotocol.spec.McpSchema.ServerCapabilities;
import io.modelcontextprotocol.spec.McpSchema.Tool;
import java.util.List;
import java.util.Map;

/** A small server on the Java SDK. usage: Server stdio */
public class Server {
  static Map<String, Object> schema(Map<String, Object> properties) {
    return Map.of("type", "object", "properties", properties, "required", List.copyOf(properties.keySet()));
  }

  static Tool tool(String name, Map<String, Object> properties) {
    return Tool.builder().name(name).description(name).inputSchema(schema(properties)).build();
  }

  static CallToolResult text(String text) {
    return CallToolResult.builder().addTextContent(text).build();
  }

  public static void main(String[] args) throws Exception {
    Map<String, Object> string = Map.of("type", "string");
    Map<String, Object> integer = Map.of("type", "integer");
    McpSyncServer server = McpServer.sync(new StdioServerTransportProvider(McpJsonDefaults.getMapper()))
        .serverInfo("interop-java", "1.0.0")
        .capabilities(ServerCapabilities.builder().tools(false).build())
        .toolCall(tool("echo", Map.of("text", string)), (exchange, request) ->
            text((String) request.arguments().get("text")))
        .toolCall(tool("add", Map.of("a", integer, "b", integer)), (exchange, request) -> {
          int sum = ((Number) request.arguments().get("a")).intValue() + ((Number) request.arguments().get("b")).intValue();
          return CallToolResult.builder().addTextContent("summed").structuredContent(Map.of("sum", sum)).build();
        })
        .toolCall(tool("book_table", Map.of("restaurant", string)), (exchange, request) -> {
          Object restaurant = request.arguments().get("restaurant");
          ElicitResult answer = exchange.createElicitation(
              ElicitRequest.builder("When, at " + restaurant + "?", schema(Map.of("date", string, "guests", integer))).build());
          if (answer.action() != ElicitResult.Action.ACCEPT) {
            return text("Nothing was booked: " + answer.action());
          }
          return text("A table for " + answer.content().get("guests") + " at " + restaurant + " on "
              + answer.content().get("date") + ".");
        })
        .build();
    Runtime.getRuntime().addShutdownHook(new Thread(server::close));
  }
}
