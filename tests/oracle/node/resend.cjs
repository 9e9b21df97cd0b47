// Sends the message by Resend's SDK.

const { Resend } = require('resend');
const { run, text } = require('./letter.cjs');

run(async (mail, baseUrl) => {
  const list = (people) => (people.length > 0 ? people.map(text) : undefined);
  const files = mail.attachments.map((file) => ({
    filename: file.filename,
    content: Buffer.from(file.content, 'base64'),
    contentType: file.content_type,
    ...(file.inline && { contentId: file.content_id }),
  }));
  const { error } = await new Resend('re_oracle', { baseUrl }).emails.send(
    {
      from: text(mail.from),
      to: list(mail.to),
      cc: list(mail.cc),
      bcc: list(mail.bcc),
      replyTo: list(mail.reply_to),
      subject: mail.subject,
      text: mail.text ?? '',
      html: mail.html ?? undefined,
      headers: Object.fromEntries(mail.headers),
      attachments: files.length > 0 ? files : undefined,
    },
    { idempotencyKey: 'oracle-key' },
  );
  if (error) throw error;
});
