// Writes mail as Java apps do, by Jakarta Mail: Keycloak, Jira, Zimbra's and OX's calendars.
// java -cp jakarta-mail.jar:jakarta-activation.jar JakartaMail.java FOLDER

import jakarta.activation.DataHandler;
import jakarta.mail.Message;
import jakarta.mail.MessagingException;
import jakarta.mail.Session;
import jakarta.mail.internet.InternetAddress;
import jakarta.mail.internet.MimeBodyPart;
import jakarta.mail.internet.MimeMessage;
import jakarta.mail.internet.MimeMultipart;
import jakarta.mail.internet.MimeUtility;
import jakarta.mail.util.ByteArrayDataSource;
import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Date;
import java.util.Properties;

public final class JakartaMail {
    private static final byte[] PNG = Base64.getDecoder().decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==");
    private static Path folder;

    public static void main(String[] arguments) throws Exception {
        folder = Path.of(arguments[0]);
        request();
        nested();
        korean();
        forwarded();
        keycloak();
    }

    private static MimeMessage message(String name, String subject, String charset) throws Exception {
        var message = new MimeMessage(Session.getInstance(new Properties())) {
            @Override
            protected void updateMessageID() throws MessagingException {
                setHeader("Message-ID", "<" + name + "@java.example.org>");
            }
        };
        message.setFrom(new InternetAddress("hong@example.org", "홍길동", charset));
        message.setRecipient(Message.RecipientType.TO, new InternetAddress("kim@example.net", "김철수", charset));
        message.setSubject(subject, charset);
        message.setSentDate(new Date());
        return message;
    }

    private static void write(String name, MimeMessage message) throws Exception {
        message.saveChanges();
        try (var out = Files.newOutputStream(folder.resolve(name + ".eml"))) {
            message.writeTo(out);
        }
    }

    private static MimeBodyPart part(Object content, String type) throws Exception {
        var part = new MimeBodyPart();
        if (content instanceof byte[] bytes) {
            part.setDataHandler(new DataHandler(new ByteArrayDataSource(bytes, type)));
        } else {
            part.setContent(content, type);
        }
        return part;
    }

    private static MimeBodyPart wrap(MimeMultipart multipart) throws Exception {
        var part = new MimeBodyPart();
        part.setContent(multipart);
        return part;
    }

    private static MimeBodyPart text(String text, String charset, String subtype) throws Exception {
        var part = new MimeBodyPart();
        part.setText(text, charset, subtype);
        return part;
    }

    /** An invitation: the event as an alternative with its method, and once more as a file. */
    private static void request() throws Exception {
        String event = "BEGIN:VCALENDAR\r\nPRODID:-//Example//NONSGML//EN\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
            + "UID:9@java.example.org\r\nDTSTAMP:20261121T010000Z\r\nDTSTART:20261124T010000Z\r\nSUMMARY:주간 회의\r\n"
            + "END:VEVENT\r\nEND:VCALENDAR\r\n";
        var message = message("java-calendar-request", "초대: 주간 회의", "UTF-8");
        var calendar = part(event.getBytes("UTF-8"), "text/calendar; charset=UTF-8; method=REQUEST");
        calendar.setHeader("Content-Class", "urn:content-classes:calendarmessage");
        var file = part(event.getBytes("UTF-8"), "application/ics");
        file.setFileName("invite.ics");
        message.setContent(new MimeMultipart("mixed",
            wrap(new MimeMultipart("alternative", text("주간 회의\n", "UTF-8", "plain"), text("<p>주간 회의</p>", "UTF-8", "html"), calendar)),
            file));
        write("java-calendar-request", message);
    }

    /** related within alternative within mixed, the image twice, the second never referred to. */
    private static void nested() throws Exception {
        var message = message("java-nested-related", "Picture within", "UTF-8");
        var image = part(PNG, "image/png");
        image.setContentID("<a@java.example.org>");
        image.setDisposition(MimeBodyPart.INLINE);
        var second = part(PNG, "image/png");
        second.setContentID("<never@java.example.org>");
        second.setFileName("second.png");
        var related = new MimeMultipart("related", text("<p><img src='cid:a@java.example.org'></p>", "UTF-8", "html"), image, second);
        message.setContent(new MimeMultipart("mixed",
            wrap(new MimeMultipart("alternative", text("A picture.\n", "us-ascii", "plain"), wrap(related)))));
        write("java-nested-related", message);
    }

    /** EUC-KR everywhere, names by RFC 2231 and, as older code does, by RFC 2047. */
    private static void korean() throws Exception {
        var message = message("java-euc-kr", "한글 제목: 아주 길어서 여러 줄로 나뉘어야만 하는 제목입니다", "EUC-KR");
        var named = part("%PDF-1.4".getBytes("us-ascii"), "application/pdf");
        named.setFileName("견적서 (최종).pdf");
        var older = part("a".getBytes("us-ascii"), "application/octet-stream");
        older.setHeader("Content-Disposition",
            "attachment; filename=\"" + MimeUtility.encodeText("옛날 방식.hwp", "EUC-KR", "B") + "\"");
        message.setContent(new MimeMultipart("mixed", text("본문입니다.\n", "EUC-KR", "plain"), named, older));
        write("java-euc-kr", message);
    }

    /** A message in a message, opened by readers. */
    private static void forwarded() throws Exception {
        var inner = new MimeMessage(Session.getInstance(new Properties()),
            new ByteArrayInputStream("From: x@example.com\r\nSubject: inner\r\n\r\nwords\r\n".getBytes("us-ascii")));
        var message = message("java-forwarded", "Fwd: inner", "UTF-8");
        var attached = new MimeBodyPart();
        attached.setContent(inner, "message/rfc822");
        message.setContent(new MimeMultipart("mixed", text("See below.\n", "UTF-8", "plain"), attached));
        write("java-forwarded", message);
    }

    /** What Keycloak sends: text and HTML, without a name anywhere. */
    private static void keycloak() throws Exception {
        var message = message("java-keycloak-verify", "Verify email", "UTF-8");
        message.setReplyTo(new InternetAddress[] {new InternetAddress("a@example.org"), new InternetAddress("b@example.org")});
        message.setContent(new MimeMultipart("alternative",
            text("Someone has created an account.\r\nhttps://id.example.org/action-token?key=a.b.c&x=ü\r\n", "UTF-8", "plain"),
            text("<p>Someone has created an account.</p>", "UTF-8", "html")));
        write("java-keycloak-verify", message);
    }
}
