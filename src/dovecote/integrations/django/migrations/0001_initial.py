"""The model as Django knows it. Nothing happens in the database: the tables are Dovecote's."""

from django.db import migrations, models

from dovecote.integrations.django.models import InstantField


class Migration(migrations.Migration):
    """The first."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Notification",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("bot_id", models.IntegerField()),
                ("bot", models.TextField()),
                ("chat", models.TextField()),
                ("method", models.TextField()),
                ("params", models.TextField(verbose_name="parameters")),
                ("key", models.TextField()),
                ("labels", models.TextField()),
                ("priority", models.SmallIntegerField()),
                ("at_most_once", models.BooleanField()),
                ("enqueued_at", InstantField(verbose_name="enqueued")),
                ("planned_at", InstantField(verbose_name="planned")),
                ("due_at", InstantField(verbose_name="due")),
                ("expires_at", InstantField(verbose_name="expires")),
                ("settled_at", InstantField(verbose_name="settled")),
                ("attempts", models.IntegerField()),
                ("state", models.TextField()),
                ("error_code", models.IntegerField()),
                ("error", models.TextField()),
            ],
            options={"db_table": "dovecote_listing", "managed": False, "default_permissions": ("view",)},
        ),
    )
