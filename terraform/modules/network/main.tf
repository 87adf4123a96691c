# A network in which nothing has a public address. Machines reach Google's APIs by Private Google Access, and Cloud SQL
# by private services access. Jobs bring their libraries along and need nothing from the internet.

resource "google_compute_network" "this" {
  name                    = "contrail"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "jobs" {
  name                     = "contrail-jobs"
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.subnet_cidr
  stack_type               = "IPV4_ONLY"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

# The driver and the executors of a batch talk to each other on ports of their own choosing, within the subnet.
resource "google_compute_firewall" "spark" {
  name          = "contrail-spark-internal"
  description   = "Spark drivers and executors, within the subnet of the jobs."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = [var.subnet_cidr]

  allow {
    protocol = "tcp"
  }
  allow {
    protocol = "udp"
  }
  allow {
    protocol = "icmp"
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

# A training job on Vertex AI runs in Google's network and logs to MLflow in this one.
resource "google_compute_firewall" "mlflow" {
  name          = "contrail-mlflow"
  description   = "Vertex AI's jobs to the MLflow server."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = ["${google_compute_global_address.vertex.address}/${google_compute_global_address.vertex.prefix_length}"]

  allow {
    protocol = "tcp"
    ports    = [var.mlflow_port]
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

# A person at a terminal: `gcloud compute ssh --tunnel-through-iap`. IAM decides who may, before a packet is sent.
resource "google_compute_firewall" "ssh" {
  name          = "contrail-ssh"
  description   = "Google's Identity-Aware Proxy to SSH."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = ["35.235.240.0/20"]

  allow {
    protocol = "tcp"
    ports    = [22]
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

# The only way out to the internet, and no way in.
resource "google_compute_router" "internet" {
  count = var.internet ? 1 : 0

  name    = "contrail-internet"
  region  = var.region
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "internet" {
  count = var.internet ? 1 : 0

  name                               = "contrail-internet"
  region                             = var.region
  router                             = google_compute_router.internet[0].name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.jobs.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# The machine that runs Airflow and MLflow keeps its address when it is made again, because jobs have this address.
resource "google_compute_address" "airflow" {
  name         = "contrail-airflow"
  region       = var.region
  subnetwork   = google_compute_subnetwork.jobs.id
  address_type = "INTERNAL"
}

# Addresses that Google's own networks use towards this one: Cloud SQL's, and those of Vertex AI's jobs with `network`. Jobs
# name their range (`ip_ranges` of the target), so neither takes the other's.
resource "google_compute_global_address" "services" {
  name          = "contrail-services"
  network       = google_compute_network.this.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
}

resource "google_compute_global_address" "vertex" {
  name          = "contrail-vertex"
  network       = google_compute_network.this.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = var.vertex_prefix
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name, google_compute_global_address.vertex.name]
}
