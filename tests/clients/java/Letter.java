// Sends the letter with Jakarta Mail. ../README.md says what the arguments and variables are.

import jakarta.activation.DataHandler;
import jakarta.activation.FileDataSource;
import jakarta.mail.Message;
import jakarta.mail.MessagingException;
import jakarta.mail.Session;
import jakarta.mail.Transport;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeBodyPart;
import jakarta.mail.internet.MimeMessage;
import jakarta.mail.internet.MimeMultipart;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public final class Letter {
    private static final String UTF_8 = "UTF-8";

    private final Path folder;
    private final Properties parts = new Properties();

    private Letter(Path folder) throws Exception {
        this.folder = folder;
        try (var reader = Files.newBufferedReader(folder.resolve("letter.properties"), StandardCharsets.UTF_8)) {
            parts.load(reader);
        }
    }

    public static void main(String[] arguments) throws Exception {
        var letter = new Letter(Path.of(arguments[0]));
        int count = Integer.parseInt(arguments[3]);
        var session = Session.getInstance(settings(arguments[1], arguments[2]));
        try (Transport transport = session.getTransport()) {
            transport.connect(System.getenv("RELAY_USER"), System.getenv("RELAY_PASSWORD"));
            for (int number = 0; number < count; number++) {
                var message = letter.compose(session, number);
                transport.sendMessage(message, message.getAllRecipients());
            }
        }
    }

    private static Properties settings(String host, String port) throws Exception {
        String tls = System.getenv().getOrDefault("RELAY_TLS", "none");
        // "smtps" is TLS from the start, and has settings of its own.
        String protocol = tls.equals("implicit") ? "smtps" : "smtp";
        String prefix = "mail." + protocol + ".";
        var settings = new Properties();
        settings.setProperty("mail.transport.protocol", protocol);
        settings.setProperty(prefix + "host", host);
        settings.setProperty(prefix + "port", port);
        settings.setProperty(prefix + "localhost", "java.example");
        settings.setProperty(prefix + "timeout", "20000");
        settings.setProperty(prefix + "auth", String.valueOf(System.getenv("RELAY_USER") != null));
        settings.setProperty(prefix + "starttls.enable", String.valueOf(tls.equals("starttls")));
        settings.setProperty(prefix + "starttls.required", String.valueOf(tls.equals("starttls")));
        // The chain is verified by the socket factory, the name only when this is said.
        settings.setProperty(prefix + "ssl.checkserveridentity", "true");
        set(settings, prefix + "auth.mechanisms", "RELAY_MECHANISM");
        set(settings, prefix + "chunksize", "RELAY_CHUNK");
        set(settings, prefix + "dsn.notify", "RELAY_NOTIFY");
        if ("1.2".equals(System.getenv("RELAY_TLS_MAX"))) {
            settings.setProperty(prefix + "ssl.protocols", "TLSv1.2");
        }
        String authority = System.getenv("RELAY_CA");
        if (authority != null) {
            settings.put(prefix + "ssl.socketFactory", trusting(Path.of(authority)).getSocketFactory());
        }
        return settings;
    }

    private static void set(Properties settings, String name, String variable) {
        String value = System.getenv(variable);
        if (value != null) {
            settings.setProperty(name, value);
        }
    }

    private static SSLContext trusting(Path authority) throws Exception {
        Certificate certificate;
        try (InputStream pem = Files.newInputStream(authority)) {
            certificate = CertificateFactory.getInstance("X.509").generateCertificate(pem);
        }
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setCertificateEntry("authority", certificate);
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    private MimeMessage compose(Session session, int number) throws Exception {
        String id = "<" + number + "." + parts.getProperty("message_id") + ">";
        var message = new MimeMessage(session) {
            // Jakarta Mail would put one of its own here.
            @Override
            protected void updateMessageID() throws MessagingException {
                setHeader("Message-ID", id);
            }
        };
        message.setFrom(mailbox("from"));
        message.setRecipients(Message.RecipientType.TO, mailboxes("to"));
        message.setRecipients(Message.RecipientType.CC, mailboxes("cc"));
        message.setRecipients(Message.RecipientType.BCC, mailboxes("bcc"));
        message.setSubject(parts.getProperty("subject"), UTF_8);

        var text = new MimeBodyPart();
        text.setText(parts.getProperty("text"), UTF_8);
        var html = new MimeBodyPart();
        html.setText(parts.getProperty("html"), UTF_8, "html");
        if (System.getenv("RELAY_CHUNK") != null) {
            // Jakarta Mail 2.0.0 doubles the dot that begins a line in BDAT too, where nobody takes it off again.
            text.setHeader("Content-Transfer-Encoding", "base64");
        }
        var image = file("image");
        image.setContentID("<" + parts.getProperty("image.cid") + ">");
        image.setDisposition(MimeBodyPart.INLINE);
        var related = new MimeMultipart("related", wrap(new MimeMultipart("alternative", text, html)), image);
        message.setContent(new MimeMultipart("mixed", wrap(related), file("attachment")));
        return message;
    }

    private MimeBodyPart file(String part) throws Exception {
        var body = new MimeBodyPart();
        var source = new FileDataSource(folder.resolve(parts.getProperty(part + ".path")).toFile());
        body.setDataHandler(new DataHandler(source));
        body.setFileName(parts.getProperty(part + ".filename"));
        body.setHeader("Content-Type", parts.getProperty(part + ".type"));
        return body;
    }

    private static MimeBodyPart wrap(MimeMultipart multipart) throws MessagingException {
        var body = new MimeBodyPart();
        body.setContent(multipart);
        return body;
    }

    private InternetAddress mailbox(String path) throws Exception {
        String name = parts.getProperty(path + ".name");
        return new InternetAddress(parts.getProperty(path + ".address"), name.isEmpty() ? null : name, UTF_8);
    }

    private InternetAddress[] mailboxes(String field) throws Exception {
        List<InternetAddress> list = new ArrayList<>();
        for (int at = 0; parts.containsKey(field + "." + at + ".address"); at++) {
            list.add(mailbox(field + "." + at));
        }
        return list.toArray(InternetAddress[]::new);
    }
}
