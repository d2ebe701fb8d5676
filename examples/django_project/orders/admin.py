"""Orders in the admin, beside the notifications, which Dovecote's app adds."""

from django.contrib import admin

from orders.models import Order

admin.site.register(Order)
