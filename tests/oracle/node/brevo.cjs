// Sends the message by Brevo's SDK.

const { BrevoClient } = require('@getbrevo/brevo');
const { run } = require('./letter.cjs');

run(async (mail, url) => {
  const person = ({ name, address }) => ({ email: address, ...(name !== '' && { name }) });
  const list = (people) => (people.length > 0 ? people.map(person) : undefined);
  const files = mail.attachments.map(({ filename, content }) => ({ name: filename, content }));
  const client = new BrevoClient({
    apiKey: 'xkeysib-oracle',
    baseUrl: `${url}/v3`,
    maxRetries: 0,
  });
  await client.transactionalEmails.sendTransacEmail({
    sender: person(mail.from),
    to: list(mail.to),
    cc: list(mail.cc),
    bcc: list(mail.bcc),
    replyTo: mail.reply_to.length > 0 ? person(mail.reply_to[0]) : undefined,
    subject: mail.subject,
    textContent: mail.text ?? undefined,
    htmlContent: mail.html ?? undefined,
    attachment: files.length > 0 ? files : undefined,
    headers: Object.fromEntries(mail.headers),
    ...mail.options,
  });
});
