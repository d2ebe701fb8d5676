"""What the shop's own programs call: they send no cookies, so there is no form whose forgery could be tried."""

from django.db import transaction
from django.http import HttpRequest, HttpResponseBadRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from dovecote import Notification
from dovecote.integrations.django import enqueue
from orders.models import Order


@csrf_exempt
@require_POST
def take(request: HttpRequest) -> JsonResponse | HttpResponseBadRequest:
    """Take an order from the customer in the chat `chat_id`."""
    chat = request.POST.get("chat_id", "")
    if not chat.isdecimal():
        return HttpResponseBadRequest("chat_id is the number of a chat\n")
    order = Order.objects.create(chat_id=int(chat))
    return JsonResponse({"order": order.pk, "state": order.state})


@csrf_exempt
@require_POST
def ship(request: HttpRequest, order_id: int) -> JsonResponse:
    """Ship an order and tell the customer: both, or neither. Called again, it tells nobody twice."""
    with transaction.atomic():
        order = get_object_or_404(Order.objects.select_for_update(), pk=order_id)
        order.state = Order.State.SHIPPED
        order.save(update_fields=["state"])
        notification_id = enqueue(
            Notification(
                bot="shop",
                chat_id=order.chat_id,
                text=f"Order {order.pk} is on its way.",
                key=f"order-{order.pk}-shipped",
            )
        )
    return JsonResponse({"order": order.pk, "state": order.state, "notification": notification_id})
