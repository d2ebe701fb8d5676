"""Orders."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """The first."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("chat_id", models.BigIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[("taken", "Taken"), ("shipped", "Shipped")], default="taken", max_length=20
                    ),
                ),
            ],
        ),
    )
