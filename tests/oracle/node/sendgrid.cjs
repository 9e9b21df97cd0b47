// Sends the message by SendGrid's SDK.

const { MailService } = require('@sendgrid/mail');
const { Client } = require('@sendgrid/client');
const { run } = require('./letter.cjs');

run(async (mail, url) => {
  const person = ({ name, address }) => (name === '' ? address : { name, email: address });
  const people = (list) => (list.length > 0 ? list.map(person) : undefined);
  const replies = mail.reply_to.map(({ name, address }) => ({
    email: address,
    ...(name !== '' && { name }),
  }));
  const bodies = [
    ['text/plain', mail.text],
    ['text/html', mail.html],
  ].filter(([, value]) => value);
  const client = new Client();
  client.setApiKey('SG.oracle');
  client.setDefaultRequest('baseUrl', url);
  const service = new MailService();
  service.setClient(client);
  await service.send({
    from: person(mail.from),
    to: people(mail.to),
    cc: people(mail.cc),
    bcc: people(mail.bcc),
    replyTo: replies.length === 1 ? replies[0] : undefined,
    replyToList: replies.length > 1 ? replies : undefined,
    subject: mail.subject,
    content: bodies.map(([type, value]) => ({ type, value })),
    headers: Object.fromEntries(mail.headers),
    attachments: mail.attachments.map((file) => ({
      content: file.content,
      filename: file.filename,
      type: file.content_type,
      disposition: file.inline ? 'inline' : 'attachment',
      ...(file.inline && { content_id: file.content_id }),
    })),
    customArgs: { mailferry_id: mail.id },
    categories: mail.options.categories,
    sendAt: mail.options.send_at,
  });
});
