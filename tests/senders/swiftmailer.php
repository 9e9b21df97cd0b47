<?php
// Writes mail as Nextcloud up to 25, older Laravel and Symfony apps do, with SwiftMailer 6.
// php swiftmailer.php FOLDER; SWIFT names its lib/swift_required.php, EGULIAS an autoloader of egulias/email-validator.
declare(strict_types=1);

require getenv('EGULIAS') ?: 'Egulias/EmailValidator/autoload.php';
require getenv('SWIFT');
$folder = $argv[1];
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

function write(string $name, Swift_Message $message): void
{
    global $folder;
    $message->setId("$name@old.example.org");
    file_put_contents("$folder/$name.eml", $message->toString());
}

$message = new Swift_Message('활동 알림 «어제»');
$message->setFrom(['old@example.org' => '오라티오 클라우드'])->setTo(['kim@example.net' => '김철수', 'lee@example.com']);
$logo = $message->embed(new Swift_Image(base64_decode(PNG), 'logo-mail.png', 'image/png'));
$message->setBody("<p><img src=\"$logo\"> 파일이 바뀌었습니다.</p>", 'text/html');
$message->addPart("파일이 바뀌었습니다.\n", 'text/plain');
write('swift-activity', $message);

$message = new Swift_Message('보고서');
$message->setFrom('old@example.org')->setSender('bot@example.org')->setTo('bob@example.net')->setBcc('hidden@example.net');
$message->setReturnPath('bounce@example.org')->setPriority(Swift_Message::PRIORITY_LOWEST)->setReadReceiptTo('old@example.org');
$message->setBody("첨부를 보세요.\n");
$message->attach(new Swift_Attachment('%PDF-1.4 x', '월간 보고서 2026년 11월.pdf', 'application/pdf'));
$inline = new Swift_Attachment(base64_decode(PNG), '도장.png', 'image/png');
$message->attach($inline->setDisposition('inline'));
write('swift-report', $message);

$message = (new Swift_Message())->setCharset('iso-2022-jp')->setEncoder(new Swift_Mime_ContentEncoder_PlainContentEncoder('7bit'));
$message->setSubject(mb_convert_encoding('会員登録のお知らせ', 'ISO-2022-JP', 'UTF-8'));
$message->setFrom('shop@example.org')->setTo('tanaka@example.com');
$message->setBody(mb_convert_encoding("ご登録ありがとうございます。\r\n", 'ISO-2022-JP', 'UTF-8'));
write('swift-japanese', $message);
