"""E-mail in the background: each order is confirmed once, and a mail server that is away is tried again for a day.

goque worker --app send_emails:jobs
python send_emails.py ann@example.org order-123
"""

from __future__ import annotations

import os
import smtplib
import sys
from dataclasses import dataclass
from email.message import EmailMessage

import goque

jobs = goque.Registry()


@dataclass
class Confirmation:
    to: str
    order: str


@jobs.task(
    "send_confirmation",
    payload=Confirmation,
    queue="mail",
    timeout="30s",
    max_attempts=30,
    retry=goque.Exponential("10s", limit="1h"),
)
def send_confirmation(mail: Confirmation) -> str:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.org", mail.to, f"Your order {mail.order}"
    message.set_content("Thank you. It is on its way.")
    with smtplib.SMTP(os.environ.get("SMTP_HOST", "localhost"), int(os.environ.get("SMTP_PORT", "25"))) as server:
        try:
            server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            raise goque.GiveUp(f"nobody there takes mail for {mail.to}") from error
    return f"confirmed {mail.order} to {mail.to}"


def confirm(q: goque.Queue, to: str, order: str) -> goque.Task:
    """Called wherever an order is taken. A second call for the same order gives the task that is there."""
    return q.enqueue("send_confirmation", Confirmation(to, order), external_id=order)


if __name__ == "__main__":
    with goque.Queue() as q:
        print(confirm(q, *sys.argv[1:]).result(timeout=60))
