"""Settings of the project. What belongs to Dovecote are the app, DOVECOTE, and the options of the database."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "of-the-example-only-and-no-secret")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "dovecote.integrations.django",
    "orders",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "shop.urls"
STATIC_URL = "static/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if os.environ.get("SHOP_POSTGRES_NAME"):
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["SHOP_POSTGRES_NAME"],
            "HOST": os.environ.get("SHOP_POSTGRES_HOST", "127.0.0.1"),
            "PORT": os.environ.get("SHOP_POSTGRES_PORT", "5432"),
            "USER": os.environ.get("SHOP_POSTGRES_USER", "postgres"),
            "PASSWORD": os.environ.get("SHOP_POSTGRES_PASSWORD", ""),
        },
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": BASE_DIR / "shop.sqlite3",
            # A worker writes to the file, too: a transaction takes the lock at its beginning, and waits for it.
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
            # Workers open the file by its name, so the tests need one as well.
            "TEST": {"NAME": BASE_DIR / "test.sqlite3"},
        },
    }

# The tables of dovecote.toml as dictionaries. The outbox is in the database above.
DOVECOTE = {
    "worker": {"concurrency": 20},
}
