// Writes mail as Node apps do: Ghost, n8n, Cal.com and whatever else builds on nodemailer.
// node nodemailer.js FOLDER; NODE_PATH says where nodemailer is.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const nodemailer = require('nodemailer');

const folder = process.argv[2];
const png = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
const transport = nodemailer.createTransport({ streamTransport: true, buffer: true, newline: 'windows' });

async function write(name, message, settings = {}) {
    const chosen = Object.keys(settings).length
        ? nodemailer.createTransport({ streamTransport: true, buffer: true, newline: 'windows', ...settings })
        : transport;
    const { message: bytes } = await chosen.sendMail({ messageId: `<${name}@blog.example.org>`, ...message });
    fs.writeFileSync(path.join(folder, `${name}.eml`), bytes);
}

const calendar = (method, status) => [
    'BEGIN:VCALENDAR', 'VERSION:2.0', 'PRODID:-//Example//Booking//EN', `METHOD:${method}`, 'BEGIN:VEVENT',
    'UID:booking-7@cal.example.org', 'DTSTAMP:20261121T010000Z', 'DTSTART:20261124T010000Z', 'DTEND:20261124T013000Z',
    'SUMMARY:커피 ☕ 면담', `STATUS:${status}`, 'ORGANIZER;CN=Ada:mailto:ada@example.org',
    'ATTENDEE;RSVP=TRUE:mailto:bob@example.net', 'END:VEVENT', 'END:VCALENDAR', ''].join('\r\n');

async function main() {
    await write('node-ghost-signin', {
        from: '"오라티오 블로그" <noreply@blog.example.org>',
        to: 'bob@example.net',
        subject: '🔑 Secure sign in link for 오라티오 블로그',
        text: 'Hey there,\n\nUse this link:\nhttps://blog.example.org/members/?token=abc=def&action=signin\n\n' +
            'The link expires in 24 hours.\n',
        html: '<!doctype html>\n<html><body><p>Hey there,</p><p><a href="https://blog.example.org/members/?token=abc=def' +
            '&amp;action=signin">로그인</a></p></body></html>',
        encoding: 'base64',
    });
    await write('node-ghost-bulk', {
        from: 'Ghost <news@blog.example.org>',
        replyTo: ['editor@blog.example.org', { name: '편집부', address: 'desk@blog.example.org' }],
        to: { name: 'Doe, Jane "JD"', address: 'jane@example.net' },
        subject: 'Weekly: ' + '긴 제목입니다 '.repeat(12) + 'end',
        html: '<p>' + 'A paragraph that is longer than a line may be. '.repeat(40) + '</p>',
        text: 'A paragraph that is longer than a line may be. '.repeat(40) + '\n',
        list: {
            unsubscribe: [{ url: 'https://blog.example.org/unsubscribe/?uuid=1', comment: 'Unsubscribe' },
                'leave@blog.example.org?subject=leave'],
            id: { url: 'weekly.blog.example.org', comment: '주간 소식' },
        },
        headers: { 'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click', 'X-Mailgun-Tag': 'ghost-email', 'Feedback-ID': '7:weekly:ghost' },
    });
    await write('node-calendar-request', {
        from: 'Ada <ada@example.org>',
        to: ['Bob <bob@example.net>', 'carol@example.com'],
        subject: 'Confirmed: 커피 ☕ 면담',
        text: 'See the attached event.\n',
        html: '<p>See the attached event.</p>',
        icalEvent: { method: 'REQUEST', filename: 'invite.ics', content: calendar('REQUEST', 'CONFIRMED') },
    });
    await write('node-calendar-cancel', {
        from: 'Ada <ada@example.org>',
        to: 'Bob <bob@example.net>',
        subject: 'Cancelled: 커피 ☕ 면담',
        text: 'The event is cancelled.\n',
        icalEvent: { method: 'CANCEL', filename: false, content: calendar('CANCEL', 'CANCELLED') },
    });
    await write('node-amp', {
        from: 'Shop <shop@example.org>',
        to: 'bob@example.net',
        subject: 'Your cart',
        text: 'Two things are in your cart.\n',
        amp: '<!doctype html><html ⚡4email data-css-strict><head><meta charset="utf-8"></head><body>Two things</body></html>',
        html: '<p>Two things are in your cart.</p>',
        watchHtml: '<b>Two things</b>',
    });
    await write('node-inline-cid', {
        from: 'shop@example.org',
        to: 'bob@example.net',
        subject: 'Receipt with pictures',
        html: '<p><img src="cid:logo@shop"><img src="cid:chart 1@shop"></p>',
        attachments: [
            { filename: 'logo.png', content: png, cid: 'logo@shop' },
            { filename: 'chart.png', content: png, cid: 'chart 1@shop', contentDisposition: 'inline' },
            { filename: 'invoice.pdf', content: '%PDF-1.4 not really.', contentType: 'application/pdf' },
        ],
    });
    await write('node-data-uri', {
        from: 'shop@example.org',
        to: 'bob@example.net',
        subject: 'Pictures within the page',
        html: `<p>one <img src="data:image/png;base64,${png.toString('base64')}"> picture</p>`,
        attachDataUrls: true,
    });
    await write('node-attachment-names', {
        from: '홍길동 <hong@example.org>',
        to: '김철수 <kim@example.net>',
        subject: '첨부 파일',
        text: '파일 다섯 개.\n',
        attachments: [
            { filename: '2026년 4분기 매출 보고서 (최종) — 검토 완료본 아주 긴 이름.pdf', content: '%PDF-1.4 one' },
            { filename: '🎉 파티 사진.png', content: png },
            { filename: 'quo"te; semi.txt', content: 'quoted\n' },
            { filename: '메모.txt', content: Buffer.from('b8deb8f0', 'hex'), contentType: 'text/plain; charset=euc-kr' },
            { filename: false, content: 'no name at all', contentType: 'application/octet-stream' },
        ],
    });
    await write('node-forwarded-eml', {
        from: 'Desk <desk@example.org>',
        to: 'bob@example.net',
        subject: 'Fwd: the original',
        text: 'The original is attached.\n',
        attachments: [{
            filename: 'original.eml',
            contentType: 'message/rfc822',
            content: 'From: x@example.com\r\nSubject: =?utf-8?B?7JuQ67O4?=\r\n\r\nThe first words.\r\n',
        }],
    });
    await write('node-group-and-idn', {
        from: 'ada@example.org',
        sender: 'bot@example.org',
        to: ['Team: bob@example.net, "김, 철수" <kim@예시.한국>;', 'undisclosed-recipients:;'],
        cc: '이영희 <lee@example.com>',
        bcc: 'hidden@example.com',
        subject: 'Groups',
        inReplyTo: '<first@example.org>',
        references: ['<first@example.org>', '<second@example.org>'],
        priority: 'high',
        text: 'Hello all.\n',
    });
    await write('node-dkim-signed', {
        from: 'Ghost <noreply@example.org>',
        to: 'bob@example.net',
        subject: '서명된 메일',
        text: '서명이 있습니다.\n',
        html: '<p>서명이 있습니다.</p>',
    }, {
        dkim: {
            domainName: 'example.org',
            keySelector: 'node',
            privateKey: crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
                .export({ type: 'pkcs1', format: 'pem' }),
        },
    });
    await write('node-text-and-flowed', {
        from: 'ada@example.org',
        to: 'bob@example.net',
        subject: 'Flowed text',
        text: 'One long line that goes on and on so that it has to be cut where there is a blank, and then a bit more.\n\n' +
            'From the start of a line.\n.\n-- \nAda\n',
        textEncoding: 'quoted-printable',
        headers: { 'Auto-Submitted': 'auto-generated', Precedence: 'bulk', 'X-Custom': { prepared: false, value: '값 ✓' } },
    });
}

main();
