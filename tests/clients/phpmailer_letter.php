<?php
// Sends the letter with PHPMailer. README.md beside this says what the arguments and variables are.
declare(strict_types=1);

use PHPMailer\PHPMailer\PHPMailer;

require 'libphp-phpmailer/autoload.php';

[, $folder, $host, $port, $count] = $argv;
$letter = json_decode(file_get_contents("$folder/letter.json"), true, 16, JSON_THROW_ON_ERROR);
$tls = getenv('RELAY_TLS') ?: 'none';

$mailer = new PHPMailer(true);
$mailer->isSMTP();
$mailer->Host = $host;
$mailer->Port = (int) $port;
$mailer->Timeout = 20;
$mailer->SMTPKeepAlive = true;
$mailer->SMTPAutoTLS = false;
$mailer->SMTPSecure = ['none' => '', 'starttls' => PHPMailer::ENCRYPTION_STARTTLS,
    'implicit' => PHPMailer::ENCRYPTION_SMTPS][$tls];
if (getenv('RELAY_CA')) {
    // The chain and the name are verified unless told otherwise.
    $mailer->SMTPOptions = ['ssl' => ['cafile' => getenv('RELAY_CA')]];
}
if (getenv('RELAY_USER')) {
    $mailer->SMTPAuth = true;
    $mailer->Username = getenv('RELAY_USER');
    $mailer->Password = getenv('RELAY_PASSWORD');
    $mailer->AuthType = getenv('RELAY_MECHANISM') ?: '';
}

$mailer->CharSet = PHPMailer::CHARSET_UTF8;
$mailer->Encoding = PHPMailer::ENCODING_BASE64;
$mailer->setFrom($letter['from']['address'], $letter['from']['name']);
foreach ($letter['to'] as $mailbox) {
    $mailer->addAddress($mailbox['address'], $mailbox['name']);
}
foreach ($letter['cc'] as $mailbox) {
    $mailer->addCC($mailbox['address'], $mailbox['name']);
}
foreach ($letter['bcc'] as $mailbox) {
    $mailer->addBCC($mailbox['address'], $mailbox['name']);
}
$mailer->Subject = $letter['subject'];
$mailer->isHTML(true);
$mailer->Body = $letter['html'];
$mailer->AltBody = $letter['text'];
$image = $letter['image'];
$mailer->addEmbeddedImage("$folder/{$image['path']}", $image['cid'], $image['filename'],
    PHPMailer::ENCODING_BASE64, $image['type']);
$file = $letter['attachment'];
$mailer->addAttachment("$folder/{$file['path']}", $file['filename'], PHPMailer::ENCODING_BASE64, $file['type']);

try {
    for ($number = 0; $number < (int) $count; $number++) {
        $mailer->MessageID = "<$number.{$letter['message_id']}>";
        $mailer->send();
    }
    $mailer->smtpClose();
} catch (Exception $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
