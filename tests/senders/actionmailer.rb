# Writes mail as Rails apps do: Mastodon, Discourse, GitLab, by ActionMailer and the mail gem.
# ruby actionmailer.rb FOLDER; Debian's ruby-actionmailer.
require 'action_mailer'
require 'base64'

FOLDER = ARGV.fetch(0)
PNG = Base64.decode64('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')
ActionMailer::Base.delivery_method = :test

# It stands in every Content-ID.
def Socket.gethostname
  'social.example.org'
end

class Letters < ActionMailer::Base
  default from: '"오라티오" <notifications@social.example.org>', charset: 'UTF-8'

  def mastodon_mention
    headers 'In-Reply-To' => '<conversation-9.2026-11-21@social.example.org>',
            'References' => '<conversation-9.2026-11-21@social.example.org>',
            'List-ID' => '<mention.kim.social.example.org>', 'List-Unsubscribe' => '<https://social.example.org/unsubscribe?token=a%3D%3D>',
            'List-Unsubscribe-Post' => 'List-Unsubscribe=One-Click', 'Auto-Submitted' => 'auto-generated', 'Precedence' => 'list'
    letter('kim@example.net', '@hong 님이 나를 언급했습니다', "안녕하세요 @kim 👋\n", '<p>안녕하세요 <span>@kim</span> 👋</p>')
  end

  def discourse_reply
    headers 'Reply-To' => '"Forum" <reply+0123456789abcdef@forum.example.org>', 'X-Auto-Response-Suppress' => 'All',
            'Auto-Submitted' => 'auto-generated', 'Precedence' => 'list', 'X-Discourse-Post-Id' => '12', 'X-Discourse-Topic-Id' => '3',
            'List-ID' => 'Forum | Support <support.forum.example.org>', 'List-Archive' => 'https://forum.example.org/t/x/3',
            'References' => '<topic/3@forum.example.org> <topic/3/11@forum.example.org>', 'In-Reply-To' => '<topic/3/11@forum.example.org>',
            'Feedback-ID' => 'user_posted:forum:discoursemail'
    letter('kim@example.net', '[Forum] [Support] Café — où?', "Réponse\n\n---\n[Visit Topic](https://forum.example.org/t/x/3/12)\n",
           '<div><p>Réponse</p></div>')
  end

  def gitlab_issue
    headers 'X-GitLab-Project' => 'site', 'X-GitLab-Reply-Key' => 'cafebabe', 'X-GitLab-NotificationReason' => 'assigned',
            'List-Id' => 'group/site <7.site.group.git.example.org>',
            'List-Unsubscribe' => '<https://git.example.org/-/sent_notifications/c/unsubscribe?force=true>,<mailto:incoming+cafebabe-unsubscribe@git.example.org>',
            'Reply-To' => 'Git <incoming+cafebabe@git.example.org>', 'References' => '<reply-cafebabe@git.example.org> <issue_5@git.example.org>'
    letter('kim@example.net', 'Re: site | Login fails with a space at the end  (#5)', "Assigned to you.\n-- \nReply to this email.\n",
           '<p>Assigned to you.</p>')
  end

  def rails_inline
    attachments.inline['배너.png'] = PNG
    attachments['terms — 약관.pdf'] = { mime_type: 'application/pdf', content: '%PDF-1.4 terms' }
    letter('kim@example.net', 'Welcome', "Welcome\n", "<img src=\"#{attachments['배너.png'].url}\"><p>Welcome</p>")
  end

  def rails_html_only
    mail(to: ['kim@example.net', 'lee@example.com'], bcc: 'hidden@example.com', subject: 'One view') do |format|
      format.html { render html: '<p>One view</p>'.html_safe }
    end
  end

  private

  def letter(to, subject, text, html)
    mail(to: to, subject: subject) do |format|
      format.text { render plain: text }
      format.html { render html: html.html_safe }
    end
  end
end

def write(name, mail)
  mail.message_id = "<#{name}@social.example.org>"
  File.binwrite(File.join(FOLDER, "#{name}.eml"), mail.encoded)
end

write('rails-mastodon-mention', Letters.mastodon_mention)
write('rails-discourse-reply', Letters.discourse_reply)
write('rails-gitlab-issue', Letters.gitlab_issue)
write('rails-inline-image', Letters.rails_inline)
write('rails-html-only', Letters.rails_html_only)

# The gem alone: Redmine's and Sinatra's way, with a message as a file.
write('ruby-mail-forward', Mail.new {
  from '홍길동 <hong@example.org>'
  to 'kim@example.net'
  subject '전달'
  text_part { content_type 'text/plain; charset=UTF-8'; body "전달합니다.\n" }
  add_file filename: '원본 메일.eml', content: "From: x@example.com\r\nSubject: original\r\n\r\nwords\r\n"
})
