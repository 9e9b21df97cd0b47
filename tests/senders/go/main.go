// Writes mail as Go apps do: Gitea and Forgejo (gomail), newer ones (go-mail), Grafana and Mattermost, and programs that
// only have the standard library. go run . FOLDER
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"os"
	"path/filepath"

	newer "github.com/wneessen/go-mail"
	gomail "gopkg.in/gomail.v2"
)

const date = "Sat, 21 Nov 2026 19:00:00 +0900"

var folder = os.Args[1]

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func save(name string, write func(io.Writer) (int64, error)) {
	var out bytes.Buffer
	_, err := write(&out)
	must(err)
	must(os.WriteFile(filepath.Join(folder, name+".eml"), out.Bytes(), 0o644))
}

func png() []byte {
	data, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	must(err)
	return data
}

func copied(data []byte) gomail.FileSetting {
	return gomail.SetCopyFunc(func(w io.Writer) error { _, err := w.Write(data); return err })
}

// Gitea: an issue, threaded, with a List-ID; Grafana: an alert with an embedded chart.
func gitea() {
	m := gomail.NewMessage()
	m.SetAddressHeader("From", "git@example.org", "홍길동 (via Gitea)")
	m.SetHeader("To", "kim@example.net", m.FormatAddress("lee@example.com", "이영희"))
	m.SetHeader("Subject", "Re: [hong/site] 로그인이 안 됩니다 (#12)")
	m.SetHeader("Date", date)
	m.SetHeader("Message-ID", "<hong/site/issues/12/comment/34@git.example.org>")
	m.SetHeader("In-Reply-To", "<hong/site/issues/12@git.example.org>")
	m.SetHeader("References", "<hong/site/issues/12@git.example.org>")
	m.SetHeader("List-ID", "hong/site <site.hong.git.example.org>")
	m.SetHeader("X-Gitea-Reason", "mentioned")
	m.SetBody("text/plain", "@kim 확인해 주세요\n\n---\nView it on Gitea.\n")
	m.AddAlternative("text/html", "<p>@kim 확인해 주세요</p>")
	save("gomail-gitea-comment", m.WriteTo)

	m = gomail.NewMessage(gomail.SetEncoding(gomail.Base64))
	m.SetAddressHeader("From", "alerts@example.org", "Grafana")
	m.SetHeader("To", "ops@example.net")
	m.SetHeader("Bcc", "hidden@example.net")
	m.SetHeader("Subject", "[Alerting] 디스크 사용량 > 90%")
	m.SetHeader("Date", date)
	m.SetBody("text/html", "<img src=\"cid:chart.png\"><p>Disk</p>")
	m.Embed("chart.png", copied(png()))
	m.Attach("보고서 1.csv", copied([]byte("시각,값\n")))
	save("gomail-grafana-alert", m.WriteTo)

	m = gomail.NewMessage(gomail.SetCharset("ISO-8859-1"), gomail.SetEncoding(gomail.Unencoded))
	m.SetHeader("From", "old@example.org")
	m.SetHeader("To", "bob@example.net")
	m.SetHeader("Subject", "Gr\xfc\xdfe")
	m.SetHeader("Date", date)
	m.SetBody("text/plain", "Gr\xfc\xdfe aus K\xf6ln\n")
	save("gomail-latin1-8bit", m.WriteTo)
}

func gomailHeir() {
	m := newer.NewMsg()
	must(m.FromFormat("회의 알림", "meet@example.org"))
	must(m.AddToFormat("김철수", "kim@example.net"))
	must(m.Cc("lee@example.com"))
	must(m.ReplyTo("desk@example.org"))
	m.Subject("회의록 공유: 매우 긴 제목이라서 한 줄에 들어가지 않는 그런 제목")
	m.SetMessageIDWithValue("minutes@go.example.org")
	m.SetGenHeader(newer.HeaderDate, date)
	m.SetImportance(newer.ImportanceUrgent)
	m.SetBulk()
	m.SetGenHeader(newer.HeaderListUnsubscribe, "<https://example.org/u>")
	m.SetBodyString(newer.TypeTextPlain, "회의록입니다.\n")
	m.AddAlternativeString(newer.TypeTextHTML, "<p><img src=\"cid:logo.png\">회의록입니다.</p>")
	m.EmbedReader("logo.png", bytes.NewReader(png()))
	m.AttachReader("회의록 📝.md", bytes.NewReader([]byte("# 회의록\n")))
	save("gomailx-minutes", m.WriteTo)

	m = newer.NewMsg(newer.WithEncoding(newer.NoEncoding))
	must(m.From("ops@example.org"))
	must(m.To("kim@example.net"))
	m.Subject("8bit")
	m.SetGenHeader(newer.HeaderDate, date)
	m.SetMessageIDWithValue("eight@go.example.org")
	must(m.RequestMDNTo("ops@example.org"))
	m.SetBodyString(newer.TypeTextPlain, "여덟 비트 그대로\n")
	save("gomailx-8bit", m.WriteTo)
}

// Nothing but the standard library, as most small programs do it.
func standard() {
	save("go-net-smtp", func(w io.Writer) (int64, error) {
		n, err := fmt.Fprintf(w, "To: bob@example.net\r\nFrom: ada@example.org\r\nSubject: 디스크 경고!\r\n\r\n디스크가 찼습니다.\r\n")
		return int64(n), err
	})
	save("go-multipart", func(w io.Writer) (int64, error) {
		parts := multipart.NewWriter(w)
		fmt.Fprintf(w, "From: Ada <ada@example.org>\r\nTo: bob@example.net\r\nSubject: %s\r\nDate: %s\r\nMIME-Version: 1.0\r\n",
			mime.BEncoding.Encode("utf-8", "보고서가 도착했습니다: 긴 제목이 여러 낱말로 나뉩니다"), date)
		fmt.Fprintf(w, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n", parts.Boundary())
		part, err := parts.CreatePart(textproto.MIMEHeader{
			"Content-Type": {"text/html; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
		must(err)
		quoted := quotedprintable.NewWriter(part)
		fmt.Fprint(quoted, "<p>보고서 = 첨부</p>\n")
		must(quoted.Close())
		// Base64 in one line, however long; the name by mime.FormatMediaType.
		part, err = parts.CreatePart(textproto.MIMEHeader{
			"Content-Type": {"application/pdf"}, "Content-Transfer-Encoding": {"base64"},
			"Content-Disposition": {mime.FormatMediaType("attachment", map[string]string{"filename": "보고서 11월.pdf"})}})
		must(err)
		fmt.Fprint(part, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("%PDF "), 300)))
		must(parts.Close())
		return 0, nil
	})
}

func main() {
	gitea()
	gomailHeir()
	standard()
}
