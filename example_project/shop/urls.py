"""The shop's endpoints."""

from django.urls import path

from example_project.shop import views

urlpatterns = [
    path("orders", views.create_order, name="orders"),
    path("orders/<int:order_id>", views.show_order, name="order"),
    path("reports/schedule", views.schedule_report, name="schedule-report"),
    path("jobs/<str:job_id>", views.show_job, name="job"),
    path("jobs/<str:job_id>/cancel", views.cancel_job, name="cancel-job"),
    path("jobs/<str:job_id>/retry", views.retry_job, name="retry-job"),
]
