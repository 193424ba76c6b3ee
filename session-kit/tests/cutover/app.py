# The old application: Django with its users. Arguments: the folder of the database, and the session engine.
import secrets
import sys
from wsgiref.simple_server import make_server, WSGIRequestHandler

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

folder, engine = sys.argv[1:]
settings.configure(
    SECRET_KEY='django secret',
    ALLOWED_HOSTS=['127.0.0.1'],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=['django.contrib.contenttypes', 'django.contrib.auth', 'django.contrib.sessions'],
    MIDDLEWARE=[
        'django.contrib.sessions.middleware.SessionMiddleware',
        'django.contrib.auth.middleware.AuthenticationMiddleware',
    ],
    DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': folder + '/db.sqlite3'}},
    SESSION_ENGINE=engine,
    SESSION_FILE_PATH=folder,
    USE_TZ=True,
)
django.setup()

from django.contrib.auth import authenticate, login  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402


def log_in(request):
    login(request, authenticate(request, username='alice', password='a password'))
    request.session['tea'] = 2
    # Signed cookies of one second and one content are equal.
    request.session['login'] = secrets.token_hex(8)
    return HttpResponse('in')


def who(request):
    return HttpResponse(request.user.username or 'nobody')


urlpatterns = [path('login', log_in), path('who', who)]


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


call_command('migrate', verbosity=0)
User.objects.create_user('alice', password='a password')
server = make_server('127.0.0.1', 0, get_wsgi_application(), handler_class=Quiet)
print('ready', server.server_port, flush=True)
server.serve_forever()
