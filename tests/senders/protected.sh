#!/usr/bin/env bash
# Writes mail that is signed or encrypted as mail programs and gateways do it: PGP/MIME by GnuPG, S/MIME by OpenSSL, and DKIM
# by dkimpy. protected.sh FOLDER; DKIMSIGN is dkimpy's dkimsign.
set -euo pipefail
folder=$(realpath "$1")
scratch=$(mktemp -d)
trap 'gpgconf --homedir "$scratch/gpg" --kill all; rm -rf "$scratch"' EXIT

crlf() { sed -e 's/\r*$/\r/'; }
head_of() {
    printf 'From: =?UTF-8?B?7ZmN6ri464+Z?= <hong@example.org>\nTo: kim@example.net\nSubject: %s\nDate: Sat, 21 Nov 2026 19:00:00 +0900\n' "$2"
    printf 'Message-ID: <%s@mua.example.org>\nMIME-Version: 1.0\n' "$1"
}
# What is protected: 7-bit, no trailing blanks (RFC 3156 section 3).
crlf >"$scratch/inner" <<'INNER'
Content-Type: multipart/mixed; boundary="inner"

--inner
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: quoted-printable

=EB=B9=84=EB=B0=80=EC=9E=85=EB=8B=88=EB=8B=A4.
=46rom here on.
--inner
Content-Type: text/csv; name="a.csv"
Content-Disposition: attachment; filename="a.csv"
Content-Transfer-Encoding: base64

YSxiCg==
--inner--
INNER

mkdir -m 700 "$scratch/gpg"
pgp() { gpg --homedir "$scratch/gpg" --batch --quiet --no-tty --pinentry-mode loopback --passphrase '' --trust-model always "$@"; }
pgp --quick-generate-key 'Hong <hong@example.org>' ed25519 sign never
fingerprint=$(pgp --list-keys --with-colons hong@example.org | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1/p' | head -n 1)
pgp --quick-add-key "$fingerprint" cv25519 encr never

{
    head_of gpg-signed 'GnuPG: signed'
    printf 'Content-Type: multipart/signed; micalg=pgp-sha512;\n protocol="application/pgp-signature"; boundary="outer"\n\n--outer\n'
    cat "$scratch/inner"
    printf '\n--outer\nContent-Type: application/pgp-signature; name="signature.asc"\nContent-Description: OpenPGP digital signature\n\n'
    pgp --armor --detach-sign --digest-algo SHA512 --local-user hong@example.org <"$scratch/inner"
    printf '\n--outer--\n'
} | crlf >"$folder/gpg-signed.eml"
{
    head_of gpg-encrypted '...'
    printf 'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\n boundary="outer"\n\n'
    printf 'This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\n--outer\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n--outer\n'
    printf 'Content-Type: application/octet-stream; name="encrypted.asc"\nContent-Disposition: inline; filename="encrypted.asc"\n\n'
    pgp --armor --encrypt --sign --local-user hong@example.org --recipient hong@example.org <"$scratch/inner"
    printf '\n--outer--\n'
} | crlf >"$folder/gpg-encrypted.eml"
{
    head_of gpg-inline 'Inline PGP' | sed 's/^MIME-Version.*//;/^$/d'
    printf '\n'
    printf 'Hello, dashes are escaped:\n-- \nHong\n' | pgp --clearsign --local-user hong@example.org
} | crlf >"$folder/gpg-inline.eml"

openssl req -quiet -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=Hong/emailAddress=hong@example.org' \
    -keyout "$scratch/key" -out "$scratch/certificate" 2>/dev/null || openssl req -x509 -newkey rsa:2048 -nodes -days 3650 \
    -subj '/CN=Hong/emailAddress=hong@example.org' -keyout "$scratch/key" -out "$scratch/certificate" 2>/dev/null
smime() {
    local name="$1" subject="$2"
    shift 2
    { head_of "$name" "$subject" | grep -v MIME-Version; openssl cms -in "$scratch/inner" "$@"; } | crlf >"$folder/$name.eml"
}
signer=(-signer "$scratch/certificate" -inkey "$scratch/key")
smime smime-detached 'S/MIME: detached signature' -sign "${signer[@]}"
smime smime-opaque 'S/MIME: opaque signature' -sign -nodetach -binary "${signer[@]}"
smime smime-enveloped 'S/MIME: encrypted' -encrypt -aes256 -binary "$scratch/certificate"

{
    head_of dkim-signed 'Signed for the domain'
    printf 'Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n서명된 글.\n'
} | crlf >"$scratch/plain"
openssl genrsa -traditional -out "$scratch/dkim" 2048 2>/dev/null || openssl genrsa -out "$scratch/dkim" 2048 2>/dev/null
"$DKIMSIGN" sel example.org "$scratch/dkim" <"$scratch/plain" | crlf >"$folder/dkim-signed.eml"
