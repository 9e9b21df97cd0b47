<?php
// Writes mail as WordPress, older Nextcloud and many PHP forms do, with PHPMailer.
// php phpmailer.php FOLDER; Debian's libphp-phpmailer.
declare(strict_types=1);

use PHPMailer\PHPMailer\PHPMailer;

require 'libphp-phpmailer/autoload.php';
$folder = $argv[1];
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

function letter(string $subject): PHPMailer
{
    $letter = new PHPMailer(true);
    // As over SMTP: To and Subject stand in the header.
    $letter->Mailer = 'smtp';
    $letter->CharSet = PHPMailer::CHARSET_UTF8;
    $letter->Hostname = 'wp.example.org';
    $letter->setFrom('wordpress@example.org', '오라티오 "블로그"');
    $letter->addAddress('kim@example.net', '김철수');
    $letter->Subject = $subject;
    return $letter;
}

function write(string $name, PHPMailer $letter): void
{
    global $folder;
    $letter->MessageID = "<$name@wp.example.org>";
    $letter->preSend();
    file_put_contents("$folder/$name.eml", $letter->getSentMIMEMessage());
}

// WordPress: text, 8bit when it has to be.
$letter = letter('[오라티오] 암호 재설정');
$letter->XMailer = 'PHPMailer (https://example.org/PHPMailer)';
$letter->Body = "누군가 암호 재설정을 요청했습니다.\r\n\r\nhttps://wp.example.org/wp-login.php?action=rp&key=a=b&login=kim\r\n";
write('phpmailer-wordpress-reset', $letter);

// A shop's order: HTML with pictures, files with Korean names.
$letter = letter('주문 №1024 확인');
$letter->isHTML();
$letter->Body = '<p><img src="cid:logo"> 주문해 주셔서 감사합니다.</p><p>'.str_repeat('긴 문장입니다. ', 120).'</p>';
$letter->AltBody = "주문해 주셔서 감사합니다.\n";
$letter->Encoding = PHPMailer::ENCODING_QUOTED_PRINTABLE;
$letter->addStringEmbeddedImage(base64_decode(PNG), 'logo', '로고.png', 'base64', 'image/png');
$letter->addStringAttachment('%PDF-1.4 not really.', '주문서 1024 (아주 긴 이름을 가진 파일이라서 여러 줄에 걸쳐야 합니다).pdf');
$letter->addStringAttachment("PK\x03\x04", '🎁 gift.zip', 'quoted-printable');
write('phpmailer-shop-order', $letter);

// DKIM, as WP plugins sign it.
$letter = letter('서명된 메일');
$letter->Body = "서명된 글입니다.\r\n";
openssl_pkey_export(openssl_pkey_new(['private_key_bits' => 2048]), $pem);
$letter->DKIM_domain = 'example.org';
$letter->DKIM_selector = 'wp';
$letter->DKIM_identity = 'wordpress@example.org';
$letter->DKIM_private_string = $pem;
write('phpmailer-dkim-signed', $letter);

// Ical: an alternative whose method is a parameter.
$letter = letter('예약 확인');
$letter->isHTML();
$letter->Body = '<p>예약되었습니다.</p>';
$letter->AltBody = '예약되었습니다.';
$letter->Ical = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:8@example.org\r\nDTSTAMP:20261121T010000Z\r\n"
    ."DTSTART:20261124T010000Z\r\nSUMMARY:예약\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
write('phpmailer-ical', $letter);

// A contact form in Latin-1, several answers wanted by several people, a reading receipt, an urgent one.
$letter = letter('Anfrage');
$letter->CharSet = PHPMailer::CHARSET_ISO88591;
$letter->setFrom('form@example.org', mb_convert_encoding('Jürgen Müller', 'ISO-8859-1', 'UTF-8'));
$letter->clearAllRecipients();
$letter->addAddress('desk@example.net');
$letter->addCC('copy@example.net');
$letter->addBCC('hidden@example.net');
$letter->addReplyTo('one@example.com', 'One');
$letter->addReplyTo('two@example.com', 'Two, Dr.');
$letter->ConfirmReadingTo = 'form@example.org';
$letter->Priority = 1;
$letter->Body = mb_convert_encoding("Größe: 5 m², Preis: 3 £\r\n", 'ISO-8859-1', 'UTF-8');
$letter->addCustomHeader('X-Form', 'contact; lang=de');
write('phpmailer-contact-form', $letter);

// Nothing but a file.
$letter = letter('스캔');
$letter->AllowEmpty = true;
$letter->addStringAttachment('%PDF-1.4 scan', 'scan.pdf');
write('phpmailer-file-alone', $letter);
