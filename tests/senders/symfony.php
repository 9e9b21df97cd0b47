<?php
// Writes mail as Nextcloud 30+, Laravel and other apps on Symfony Mailer do.
// php symfony.php FOLDER; Debian's php-symfony-mailer, or a vendor/autoload.php named by AUTOLOAD.
declare(strict_types=1);

use Symfony\Component\Mailer\Header\MetadataHeader;
use Symfony\Component\Mailer\Header\TagHeader;
use Symfony\Component\Mime\Address;
use Symfony\Component\Mime\Crypto\DkimSigner;
use Symfony\Component\Mime\Crypto\SMimeSigner;
use Symfony\Component\Mime\Email;
use Symfony\Component\Mime\Message;
use Symfony\Component\Mime\Part\DataPart;
use Symfony\Component\Mime\Part\Multipart\AlternativePart;
use Symfony\Component\Mime\Part\Multipart\MixedPart;
use Symfony\Component\Mime\Part\TextPart;

$autoload = getenv('AUTOLOAD');
foreach ($autoload ? [$autoload] : ['Mailer', 'Mime'] as $it) {
    require $autoload ? $it : "Symfony/Component/$it/autoload.php";
}
$folder = $argv[1];
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

function write(string $name, Message $message): void
{
    global $folder;
    if (!$message->getHeaders()->has('Message-ID')) {
        $message->getHeaders()->addIdHeader('Message-ID', "$name@cloud.example.org");
    }
    file_put_contents("$folder/$name.eml", $message->toString());
}

function email(): Email
{
    return (new Email())->from(new Address('cloud@example.org', '오라티오 클라우드'))
        ->to(new Address('kim@example.net', '김철수'));
}

$png = base64_decode(PNG);

// Nextcloud's EMailTemplate: a logo by Content-ID, text and HTML.
write('symfony-nextcloud-share', email()->subject('홍길동님이 »사진 모음«을 공유했습니다')
    ->replyTo(new Address('hong@example.org', '홍길동'))
    ->text("홍길동님이 »사진 모음«을 공유했습니다.\n\n열기: https://cloud.example.org/s/a?b=c\n\n-- \n오라티오 클라우드\n")
    ->html('<table><tr><td><img src="cid:logo.png" alt="로고"></td></tr><tr><td>홍길동님이 »사진 모음«을 공유했습니다.</td></tr></table>')
    ->embed($png, 'logo.png', 'image/png'));

// Laravel's Mailable with a file, a tag and metadata.
$letter = email()->subject('Invoice №7')->text("Your invoice.\n")->html('<p>Your invoice.</p>')
    ->attach('%PDF-1.4 not really.', '청구서 №7 – ünïcode.pdf', 'application/pdf')
    ->attach("이름,값\r\n홍길동,1\r\n", '표.csv', 'text/csv')
    ->priority(Email::PRIORITY_HIGH);
$letter->getHeaders()->add(new TagHeader('invoice'));
$letter->getHeaders()->add(new MetadataHeader('customer', '42'));
write('symfony-laravel-invoice', $letter);

// Text alone, in a line longer than 998 octets, with a lone dot.
write('symfony-text-only', email()->subject('Long lines')->text(str_repeat('가나다 ', 400)."\n.\nend\n"));

// HTML alone: Laravel's Mailable without a text view.
write('symfony-html-only', email()->subject('HTML alone')->cc('lee@example.com')->bcc('hidden@example.com')
    ->html('<!doctype html><p>Nobody wrote a text.</p>'));

// A body put together by hand, with an event in the alternative (Nextcloud's calendar).
$event = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:7@example.org\r\nDTSTAMP:20261121T010000Z\r\n"
    ."DTSTART:20261124T010000Z\r\nSUMMARY:회의\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
$calendar = new DataPart($event, 'event.ics', 'text/calendar');
$inner = new TextPart($event, 'utf-8', 'calendar');
$letter = email()->subject('초대: 회의');
$letter->setBody(new MixedPart(new AlternativePart(new TextPart("회의에 초대합니다.\n"),
    new TextPart('<p>회의에 초대합니다.</p>', 'utf-8', 'html'), $inner), $calendar));
write('symfony-nextcloud-invite', $letter);

// The two signers.
$key = openssl_pkey_new(['private_key_bits' => 2048]);
openssl_pkey_export($key, $pem);
$letter = email()->subject('Signed by the app')->text("Signed.\n")->date(new DateTimeImmutable());
$letter->getHeaders()->addIdHeader('Message-ID', 'symfony-dkim@cloud.example.org');
write('symfony-dkim-signed', (new DkimSigner($pem, 'example.org', 'app'))->sign($letter));
$request = openssl_csr_new(['commonName' => 'cloud@example.org'], $key);
openssl_x509_export_to_file(openssl_csr_sign($request, null, $key, 365), "$folder/signer.crt");
file_put_contents("$folder/signer.key", $pem);
$letter = email()->subject('서명')->text("서명한 글.\n")->attach('a,b', 'a.csv', 'text/csv');
write('symfony-smime-signed', (new SMimeSigner("$folder/signer.crt", "$folder/signer.key"))->sign($letter));
unlink("$folder/signer.crt");
unlink("$folder/signer.key");
