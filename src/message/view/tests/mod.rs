//! What is shown of messages, and what never is.

mod harmless;

use self::harmless::assert_harmless;
use super::*;

/// A message of one HTML part.
fn mail(html: &str) -> Vec<u8> {
    format!("Content-Type: text/html; charset=utf-8\r\n\r\n{html}").into_bytes()
}

/// The body of the document that this HTML is shown as.
fn body(html: &str) -> String {
    shown(html, Remote::Blocked)
}

fn shown(html: &str, remote: Remote) -> String {
    let document = frame(&mail(html), remote).document;
    assert_harmless(&document, remote);
    let (_, body) = document.split_once("<body>").unwrap();
    body.split_once("</body>").unwrap().0.to_owned()
}

/// The styles of the mail in the document that this HTML is shown as.
fn styles(html: &str) -> String {
    let document = frame(&mail(html), Remote::Blocked).document;
    assert_harmless(&document, Remote::Blocked);
    let (_, styles) = document.rsplit_once("<style>").unwrap();
    styles.split_once("</style>").unwrap().0.trim().to_owned()
}

#[test]
fn ordinary_mail_looks_as_it_was_written() {
    for html in [
        "<p>Hello <b>Ada</b>,<br>한국 &amp; more</p>",
        "<table bgcolor=\"#fff\" width=\"600\"><tbody><tr><td align=\"center\" style=\"color:red\">x</td></tr></tbody></table>",
        "<h1 class=\"x\" id=\"y\">a</h1><ul><li>a</li><li>b</li></ul><hr>",
        "<div dir=\"rtl\" lang=\"ar\"><font color=\"red\" size=\"2\">a</font></div>",
    ] {
        assert_eq!(body(html), html);
    }
}

#[test]
fn every_element_and_attribute_that_is_shown_passes_the_sanitiser() {
    for name in tags::KEPT.into_iter().filter(|name| !tags::BACKED.contains(name)) {
        if ["caption", "colgroup", "col", "thead"].contains(&name) {
            continue;
        }
        let attribute = tags::ATTRIBUTES[0];
        let html = format!("<{name} {attribute}=\"x\">y</{name}>");
        assert!(body(&html).starts_with(&format!("<{name} {attribute}=\"x\"")), "{}", body(&html));
    }
}

#[test]
fn what_is_not_closed_is_closed_where_browsers_close_it() {
    for (html, shown) in [
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        ("<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>"),
        (
            "<table><tr><td>a<td>b<tr><td>c</table>d",
            "<table><tbody><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></tbody></table>d",
        ),
        ("<p><b>a<p>b</b>c", "<p><b>a</b></p><p><b>b</b>c</p>"),
        ("<b><p>a</b>b</p>", "<b><p>a</p></b><p>b</p>"),
        ("a</div></b></td>b", "ab"),
        ("<td>a</td>", "a"),
        ("a < b && c <3 </> <!x> <?php ?> <", "a &lt; b &amp;&amp; c &lt;3    "),
        ("<!-- a -- b --!>c<!-->d<!--->e<!-- f", "cde"),
        ("a</br>b<img", "a<br>b"),
    ] {
        assert_eq!(body(html), shown, "{html}");
    }
}

#[test]
fn the_colours_of_the_body_stay() {
    assert_eq!(
        body(
            "<html><head><title>T</title></head><body bgcolor=#123456 text=red style='margin:0' onload=x>a</body></html>"
        ),
        "<div style=\"background-color:#123456;color:red;margin:0\">a</div>"
    );
    assert_eq!(body("<body bgcolor='red;position:fixed'>a"), "<div style=\"\">a</div>");
}

#[test]
fn links_open_apart_and_show_where_they_lead() {
    assert_eq!(
        body(
            "<a href='https://x.example/?a=1&amp;b=2' title='Bank' target=_top rel=opener>Bank</a>"
        ),
        "<a href=\"https://x.example/?a=1&amp;b=2\" title=\"https://x.example/?a=1&amp;b=2\" \
         target=\"_blank\" rel=\"noopener noreferrer nofollow\">Bank</a>"
    );
    for address in [
        "javascript:alert(1)",
        " JaVa\tScRiPt:alert(1)",
        "&#106;avascript&colon;alert(1)",
        "\u{1}javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://x/1",
        "//x.example",
        "/queue",
        "#a",
        "",
    ] {
        let shown = body(&format!("<a href=\"{address}\">x</a>"));
        assert!(!shown.contains(" href="), "{shown}");
    }
}

#[test]
fn images_of_other_hosts_wait_and_are_counted() {
    let html = "<img src=https://x.example/a.png alt=A><table background='http://x.example/b'><td style=\"background:url(//x.example/c)\">\
        <style>p{background:url('https://x.example/d')}</style><picture><source srcset=https://x.example/e><img srcset=https://x.example/f></picture>";
    let held = frame(&mail(html), Remote::Blocked);
    assert_harmless(&held.document, Remote::Blocked);
    assert_eq!(held.remote_images, 4);
    assert!(!held.document.contains("x.example") && held.document.contains("alt=\"A\""));
    let loaded = frame(&mail(html), Remote::Allowed);
    assert_harmless(&loaded.document, Remote::Allowed);
    assert_eq!(loaded.document.matches("x.example").count(), 4, "{}", loaded.document);
    assert_eq!(View::read(&mail(html)).remote_images, 4);
}

#[test]
fn images_of_the_message_are_shown_within_it() {
    let raw = b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
        <img src=\"cid:a@x\"><img src=\"i/logo.gif\"><p style='background:url(cid:a@x)'><img src=cid:none>\r\n\
        --b\r\nContent-Type: image/svg+xml\r\nContent-ID: <a@x>\r\n\r\nGIF89a...\r\n\
        --b\r\nContent-Type: image/gif\r\nContent-Location: i/logo.gif\r\n\r\nGIF87a...\r\n--b--\r\n";
    let frame = frame(raw, Remote::Blocked);
    assert_harmless(&frame.document, Remote::Blocked);
    assert_eq!(frame.document.matches("data:image/gif;base64,").count(), 3, "{}", frame.document);
    assert_eq!((frame.remote_images, frame.left_out), (0, 1));
    let view = View::read(raw);
    assert_eq!(view.parts.iter().map(|part| part.inline).collect::<Vec<_>>(), [true, true]);
}

#[test]
fn styles_stay_without_what_they_load_or_cover() {
    for (css, shown) in [
        (
            "p > a:hover{color:#f00;margin:0 1px!important}",
            "p > a:hover{color:#f00;margin:0 1px!important}",
        ),
        ("@media (max-width:600px){.a{width:100%}}", "@media (max-width:600px){.a{width:100%}}"),
        ("@import 'https://x.example/a.css';a{}", "a{}"),
        ("@im\\70ort url(x);a{}", "a{}"),
        ("@font-face{font-family:x;src:url(https://x.example/f)}a{}", "a{}"),
        ("@charset \"utf-7\";@namespace svg url(x);a{}", "a{}"),
        ("a{background:u\\72l(https://x.example)}", "a{background: none }"),
        ("a{background:image-set('https://x.example' 1x)}", "a{background: none }"),
        ("a{width:expression(alert(1))}", "a{width: none }"),
        ("a{position:fixed;top:0}", "a{position:static;top:0}"),
        ("a{POSITION : st\\69 cky!important}", "a{POSITION : static!important}"),
        ("a{position:var(--x);left:0}", "a{position: none ;left:0}"),
        ("a{content:'<script>'}", "a{content:\"\\3c script\\3e \"}"),
        ("a<b{}", "a< b{}"),
        ("/* url(x) */a{}/*", "a{}"),
        ("a{color:ur/**/l(x)}", "a{color:ur l(x)}"),
        ("a{color:ur@x;l(//x.example)}", "a{color:ur l(//x.example)}"),
        ("a{x:\"a\nb:url(//x.example)\"}", "a{x: \nb: none"),
    ] {
        let filtered = styles(&format!("<style>{css}</style>"));
        assert_eq!(filtered, shown, "{css}");
    }
    assert_eq!(
        body("<p style='color:red;background:url(x)'>"),
        "<p style=\"color:red;background: none \"></p>"
    );
}

#[test]
fn a_message_without_html_shows_its_text() {
    let raw = b"Content-Type: text/plain; format=flowed\r\n\r\nSee \r\nhttps://x.example/a <b>\r\n> old\r\n";
    let frame = frame(raw, Remote::Blocked);
    assert_harmless(&frame.document, Remote::Blocked);
    assert!(
        frame.document.contains("See <a href=\"https://x.example/a\"")
            && frame.document.contains("&lt;b&gt;")
    );
    assert!(frame.document.contains("<span class=\"mail-quote\">&gt; old"));
    let view = View::read(raw);
    assert!(!view.has_html && view.text.is_some());
}

#[test]
fn parts_are_downloaded_as_harmless_files() {
    let raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\nContent-Type: text/html\r\n\
        Content-Disposition: attachment; filename=\"../../a\\\"b.html\"\r\n\r\n<script>\r\n--b--\r\n";
    let view = View::read(raw);
    assert_eq!(view.parts.len(), 1);
    assert_eq!((view.parts[0].number, view.parts[0].filename.as_str()), (1, "a_b.html"));
    let download = part(raw, 1).unwrap();
    assert_eq!(download.media_type, "application/octet-stream");
    assert_eq!(
        download.disposition,
        "attachment; filename=\"a_b.html\"; filename*=UTF-8''a_b.html"
    );
    assert_eq!(&*download.bytes, b"<script>");
    assert_eq!((part(raw, 0), part(raw, 2)), (None, None));
}
