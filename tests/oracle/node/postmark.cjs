// Sends the message by Postmark's SDK.

const { ServerClient } = require('postmark');
const { run, text } = require('./letter.cjs');

run(async (mail, url) => {
  const list = (people) => (people.length > 0 ? people.map(text).join(', ') : undefined);
  const files = mail.attachments.map((file) => ({
    Name: file.filename,
    Content: file.content,
    ContentType: file.content_type,
    ...(file.inline && { ContentID: `cid:${file.content_id}` }),
  }));
  const client = new ServerClient('token-of-the-oracle', {
    requestHost: new URL(url).host,
    useHttps: false,
  });
  await client.sendEmail({
    From: text(mail.from),
    To: list(mail.to),
    Cc: list(mail.cc),
    Bcc: list(mail.bcc),
    ReplyTo: list(mail.reply_to),
    Subject: mail.subject,
    TextBody: mail.text ?? undefined,
    HtmlBody: mail.html ?? undefined,
    Headers: mail.headers.map(([Name, Value]) => ({ Name, Value })),
    Attachments: files.length > 0 ? files : undefined,
    ...mail.options,
  });
});
