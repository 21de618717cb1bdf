"""A Django project in one file, with the middleware that sets Content-Length (as in Django's own template)."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

settings.configure(
    SECRET_KEY="for a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)


@csrf_exempt
def ok(request):
    request.read()
    return HttpResponse("ok", content_type="text/plain")


urlpatterns = [re_path("", ok)]
app = get_wsgi_application()
