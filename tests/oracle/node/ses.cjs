// Sends the message by the AWS SDK.

const { SendEmailCommand, SESv2Client } = require('@aws-sdk/client-sesv2');
const { run } = require('./letter.cjs');

run(async (mail, endpoint) => {
  const list = (people) => (people.length > 0 ? people.map((it) => it.address) : undefined);
  const client = new SESv2Client({
    endpoint,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'AKIAORACLE', secretAccessKey: 'oracle' },
  });
  const destination = {
    ToAddresses: list(mail.to),
    CcAddresses: list(mail.cc),
    BccAddresses: list(mail.bcc),
  };
  const raw = { Data: Buffer.from(mail.raw, 'base64') };
  await client.send(
    new SendEmailCommand({ Destination: destination, Content: { Raw: raw }, ...mail.options }),
  );
});
