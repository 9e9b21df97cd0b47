"""Prints the request that SendGrid's helper objects make of an X-SMTPAPI, given as JSON on standard input."""

import json
import sys

from sendgrid.helpers import mail as sg


def on(filters, name):
    return bool(int(filters[name]["settings"]["enable"]))


def main():
    given = json.load(sys.stdin)
    orders = given["smtpapi"]
    out = sg.Mail()
    for category in orders.get("category", []):
        out.add_category(sg.Category(category))
    if "send_at" in orders:
        out.send_at = sg.SendAt(orders["send_at"])
    if "batch_id" in orders:
        out.batch_id = sg.BatchId(orders["batch_id"])
    if "ip_pool" in orders:
        out.ip_pool_name = sg.IpPoolName(orders["ip_pool"])
    if "asm_group_id" in orders:
        groups = sg.GroupsToDisplay(orders["asm_groups_to_display"])
        out.asm = sg.Asm(sg.GroupId(orders["asm_group_id"]), groups)
    if "filters" in orders:
        settings(out, orders["filters"])

    sections = orders.get("section", {})
    for place, address in enumerate(orders.get("to", ["bob@example.net"])):
        one = sg.Personalization()
        one.add_to(sg.To(address))
        own = {tag: values[place] for tag, values in orders["sub"].items()}
        for tag, value in own.items():
            one.add_substitution(sg.Substitution(tag, sections.get(value, value)))
        for name, value in orders["unique_args"].items():
            text = value if isinstance(value, str) else json.dumps(value)
            one.add_custom_arg(sg.CustomArg(name, own.get(text, text)))
        one.add_custom_arg(sg.CustomArg("mailferry_id", given["id"]))
        if "send_each_at" in orders:
            one.send_at = orders["send_each_at"][place]
        out.add_personalization(one)
    print(json.dumps(out.get()))


def settings(out, filters):
    def setting(name, member):
        return filters[name]["settings"][member]

    out.template_id = sg.TemplateId(setting("templates", "template_id"))
    tracking = sg.TrackingSettings()
    tracking.click_tracking = sg.ClickTracking(on(filters, "clicktrack"), setting("clicktrack", "enable_text"))
    tag = sg.OpenTrackingSubstitutionTag(setting("opentrack", "replace"))
    tracking.open_tracking = sg.OpenTracking(on(filters, "opentrack"), tag)
    tracking.subscription_tracking = sg.SubscriptionTracking(
        on(filters, "subscriptiontrack"),
        sg.SubscriptionText(setting("subscriptiontrack", "text/plain")),
        sg.SubscriptionHtml(setting("subscriptiontrack", "text/html")),
        sg.SubscriptionSubstitutionTag(setting("subscriptiontrack", "replace")),
    )
    utm = [sg.UtmSource, sg.UtmMedium, sg.UtmTerm, sg.UtmContent, sg.UtmCampaign]
    names = ["utm_source", "utm_medium", "utm_term", "utm_content", "utm_campaign"]
    values = [kind(setting("ganalytics", name)) for kind, name in zip(utm, names)]
    tracking.ganalytics = sg.Ganalytics(on(filters, "ganalytics"), *values)
    out.tracking_settings = tracking

    mail = sg.MailSettings()
    mail.footer_settings = sg.FooterSettings(
        on(filters, "footer"),
        sg.FooterText(setting("footer", "text/plain")),
        sg.FooterHtml(setting("footer", "text/html")),
    )
    mail.bypass_spam_management = sg.BypassSpamManagement(on(filters, "bypass_spam_management"))
    mail.bypass_bounce_management = sg.BypassBounceManagement(on(filters, "bypass_bounce_management"))
    mail.bypass_unsubscribe_management = sg.BypassUnsubscribeManagement(on(filters, "bypass_unsubscribe_management"))
    out.mail_settings = mail


main()
