# Sends the letter with Ruby's mail gem (over net-smtp). README.md beside this says what the arguments and variables are.
require "json"
require "mail"

folder, host, port, count = ARGV
letter = JSON.parse(File.read(File.join(folder, "letter.json"), encoding: "utf-8"))
tls = ENV.fetch("RELAY_TLS", "none")

settings = {
  address: host,
  port: Integer(port),
  domain: "ruby.example",
  open_timeout: 20,
  read_timeout: 20,
  tls: tls == "implicit",
  # Required; the gem's enable_starttls_auto would go on without.
  enable_starttls: tls == "starttls",
  enable_starttls_auto: false,
  openssl_verify_mode: "peer",
}
settings[:ca_file] = ENV["RELAY_CA"] if ENV["RELAY_CA"]
if ENV["RELAY_USER"]
  settings.update(
    user_name: ENV["RELAY_USER"],
    password: ENV["RELAY_PASSWORD"],
    authentication: ENV.fetch("RELAY_MECHANISM", "PLAIN").downcase,
  )
end

def mailbox(part)
  return part["address"] if part["name"].empty?

  address = Mail::Address.new(part["address"])
  address.display_name = part["name"]
  address.format
end

def compose(folder, letter, number)
  read = ->(part) { File.binread(File.join(folder, part["path"])) }
  image, file = letter["image"], letter["attachment"]

  words = Mail::Part.new(content_type: "multipart/alternative")
  words.add_part(Mail::Part.new(content_type: "text/plain; charset=UTF-8", body: letter["text"]))
  words.add_part(Mail::Part.new(content_type: "text/html; charset=UTF-8", body: letter["html"]))
  related = Mail::Part.new(content_type: "multipart/related")
  related.add_part(words)
  related.attachments.inline[image["filename"]] = {
    mime_type: image["type"], content: read.(image), content_id: "<#{image["cid"]}>"
  }

  mail = Mail.new(charset: "UTF-8")
  mail.from = mailbox(letter["from"])
  %w[to cc bcc].each { |field| mail[field] = letter[field].map { |part| mailbox(part) } }
  mail.subject = letter["subject"]
  mail.message_id = "<#{number}.#{letter["message_id"]}>"
  mail.content_type = "multipart/mixed"
  mail.add_part(related)
  mail.attachments[file["filename"]] = { mime_type: file["type"], content: read.(file) }
  mail
end

Integer(count).times do |number|
  mail = compose(folder, letter, number)
  # A connection for each mail: that is how the gem does it.
  mail.delivery_method(:smtp, settings)
  mail.deliver!
end
