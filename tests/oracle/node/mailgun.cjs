// Sends the message as MIME by Mailgun's SDK.

const FormData = require('form-data');
const Mailgun = require('mailgun.js');
const { run } = require('./letter.cjs');

run(async (mail, url) => {
  const client = new Mailgun(FormData).client({ username: 'api', key: 'key-oracle', url });
  await client.messages.create('mg.example.org', {
    to: [...mail.to, ...mail.cc, ...mail.bcc].map((it) => it.address),
    message: Buffer.from(mail.raw, 'base64'),
    ...mail.options,
  });
});
