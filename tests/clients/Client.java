// java.net.http as a client of HTTP/2. Arguments: the URL, the authority's certificate, what to do.
import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.IntPredicate;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
  static final Map<String, Integer> COUNTS = new ConcurrentHashMap<>();
  static HttpClient client;
  static String base;

  static void send(HttpRequest.Builder request) {
    String said;
    try {
      var response = client.send(request.timeout(Duration.ofSeconds(20)).build(), BodyHandlers.ofByteArray());
      said = response.statusCode() + " " + (response.version() == HttpClient.Version.HTTP_2 ? "HTTP/2" : "HTTP/1");
    } catch (Exception error) {
      said = "failed: " + error;
    }
    COUNTS.merge(said, 1, Integer::sum);
  }

  static HttpRequest.Builder to(String path) {
    return HttpRequest.newBuilder(URI.create(base + path));
  }

  static void many(IntPredicate again) throws Exception {
    var workers = Executors.newFixedThreadPool(20);
    for (int worker = 0; worker < 20; worker++) {
      workers.submit(() -> {
        for (int n = 0; again.test(n); n++) send(to("/"));
      });
    }
    workers.shutdown();
    workers.awaitTermination(60, TimeUnit.SECONDS);
  }

  public static void main(String[] arguments) throws Exception {
    base = arguments[0];
    var store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (InputStream file = new FileInputStream(arguments[1])) {
      store.setCertificateEntry("authority", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store);
    var context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    client = HttpClient.newBuilder().sslContext(context).version(HttpClient.Version.HTTP_2).build();
    var body = new byte[3 << 20];
    switch (arguments[2]) {
      case "get" -> many(n -> n < 20);
      case "head" -> send(to("/").method("HEAD", BodyPublishers.noBody()));
      case "upload", "large" -> send(to("/" + arguments[2]).POST(BodyPublishers.ofByteArray(body)));
      case "unknown-length" ->
          send(to("/large").POST(BodyPublishers.ofInputStream(() -> new java.io.ByteArrayInputStream(body))));
      case "while" -> {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
        many(n -> System.nanoTime() < end);
      }
    }
    System.out.println(COUNTS.entrySet().stream()
        .map(entry -> "\"" + entry.getKey().replace("\"", "'") + "\": " + entry.getValue())
        .collect(Collectors.joining(", ", "{", "}")));
  }
}
