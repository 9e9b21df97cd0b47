//! Writes mail as Rust apps do, with lettre: Lemmy, Vaultwarden, crates.io.
//!
//! `cargo run --example lettre-letters FOLDER`

use std::error::Error;
use std::path::Path;

use lettre::message::header::{
    ContentDisposition, ContentId, ContentTransferEncoding, ContentType,
};
use lettre::message::{Attachment, Body, Mailbox, Message, MessageBuilder, MultiPart, SinglePart};

/// The smallest PNG.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\xdac\
    d\xf8\xcfP\x0f\0\x03\x86\x01\x80Z4}k\0\0\0\0IEND\xaeB`\x82";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("the folder is missing")?;
    let write = |name: &str, message: &Message| {
        std::fs::write(Path::new(&folder).join(format!("{name}.eml")), message.formatted())
    };

    let text = "안녕하세요 홍길동님,\n\n아래 주소를 눌러 주세요: https://lemmy.example.org/verify_email/a=b\n";
    let html = "<p>안녕하세요 홍길동님,</p><p><a href=\"https://lemmy.example.org/verify_email/a=b\">확인</a></p>";
    write(
        "lettre-lemmy-verify",
        &builder("lettre-lemmy-verify", "오라티오의 이메일 주소 확인")?
            .multipart(MultiPart::alternative_plain_html(text.to_owned(), html.to_owned()))?,
    )?;

    write(
        "lettre-ascii",
        &builder(
            "lettre-ascii",
            "Password reset for a very long instance name that has to be folded somewhere",
        )?
        .header(ContentType::TEXT_PLAIN)
        .body(
            "Reset it here:\nhttps://vault.example.org/#/reset?x=1\n.\nFrom the team\n".to_owned(),
        )?,
    )?;

    let logo =
        Attachment::new_inline("logo@lettre".to_owned()).body(PNG.to_vec(), "image/png".parse()?);
    let related = MultiPart::related()
        .singlepart(SinglePart::html("<p><img src=cid:logo@lettre> 초대</p>".to_owned()))
        .singlepart(logo);
    let alternative = MultiPart::alternative()
        .singlepart(SinglePart::plain("초대\n".to_owned()))
        .multipart(related);
    let pdf = Attachment::new("초대장 — 2026년 (홍길동 & 김철수) 🎈.pdf".to_owned())
        .body(b"%PDF-1.4 not really.".to_vec(), "application/pdf".parse()?);
    write(
        "lettre-everything",
        &builder("lettre-everything", "초대합니다")?
            .multipart(MultiPart::mixed().multipart(alternative).singlepart(pdf))?,
    )?;

    let plain =
        Body::new_with_encoding("8비트 글\r\n".to_owned(), ContentTransferEncoding::EightBit);
    let plain = plain.map_err(|_| "eight bit is refused")?;
    let page = SinglePart::builder()
        .header(ContentType::TEXT_HTML)
        .header(ContentDisposition::inline())
        .header(ContentId::from("<page@lettre>".to_owned()))
        .body("<p>글</p>".to_owned());
    let parts = MultiPart::alternative()
        .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(plain))
        .singlepart(page);
    write("lettre-8bit", &builder("lettre-8bit", "8bit")?.multipart(parts)?)?;
    Ok(())
}

fn builder(name: &str, subject: &str) -> Result<MessageBuilder, Box<dyn Error>> {
    Ok(Message::builder()
        .from(Mailbox::new(Some("오라티오".to_owned()), "noreply@lemmy.example.org".parse()?))
        .reply_to("admin@lemmy.example.org".parse()?)
        .to("\"Hong, Gildong\" <hong@example.net>".parse()?)
        .cc("kim@예시.한국".parse()?)
        .message_id(Some(format!("<{name}@lemmy.example.org>")))
        .subject(subject))
}
