"""What anybody would write with Django REST framework to insert or read one row, and no more."""

from typing import Any

from django.db import connection, models
from rest_framework import generics, serializers
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer


class Note(models.Model):
    """A row with as much to tell as a job has at first."""

    kind = models.CharField(max_length=500)
    queue = models.CharField(max_length=100)
    payload = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "benchmarks"

    def __str__(self) -> str:
        return self.kind


class NoteSerializer(serializers.ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = ("id", "kind", "queue", "payload", "created_at")


class _Bare:
    queryset = Note.objects.all()
    serializer_class = NoteSerializer
    authentication_classes: tuple[Any, ...] = ()
    permission_classes: tuple[Any, ...] = ()
    parser_classes = (JSONParser,)
    renderer_classes = (JSONRenderer,)


class CreateNote(_Bare, generics.CreateAPIView[Note]):
    """Insert one row."""


class ReadNote(_Bare, generics.RetrieveAPIView[Note]):
    """Read one row."""


def install() -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Note)


def one(number: int) -> None:
    Note.objects.create(kind="note", queue="default", payload={"number": number})
