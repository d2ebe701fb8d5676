"""Addresses of the project."""

from django.contrib import admin
from django.urls import path
from orders import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/", views.take),
    path("orders/<int:order_id>/ship/", views.ship),
]
