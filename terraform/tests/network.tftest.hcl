mock_provider "google" {}

variables {
  region        = "europe-west1"
  subnet_cidr   = "10.10.0.0/20"
  vertex_prefix = 18
  mlflow_port   = 5000
  internet      = false
}

run "private" {
  # Applied, so that the address of the services' range is known.
  command = apply
  module {
    source = "./modules/network"
  }

  assert {
    condition     = google_compute_subnetwork.jobs.private_ip_google_access && !google_compute_network.this.auto_create_subnetworks
    error_message = "Google's APIs are reached without a public address, from this subnet alone."
  }

  assert {
    condition     = google_compute_firewall.spark.source_ranges == toset(["10.10.0.0/20"])
    error_message = "What comes in comes from the subnet itself."
  }

  assert {
    condition     = google_compute_firewall.mlflow.source_ranges == toset(["${google_compute_global_address.vertex.address}/18"]) && one(google_compute_firewall.mlflow.allow).ports == tolist(["5000"])
    error_message = "Beside it, Vertex AI's jobs reach MLflow alone."
  }

  assert {
    condition     = toset(google_service_networking_connection.services.reserved_peering_ranges) == toset(["contrail-services", "contrail-vertex"]) && google_compute_global_address.vertex.purpose == "VPC_PEERING"
    error_message = "Vertex AI's jobs and Cloud SQL have a range each."
  }

  assert {
    condition     = google_compute_firewall.ssh.source_ranges == toset(["35.235.240.0/20"]) && one(google_compute_firewall.ssh.allow).ports == tolist(["22"])
    error_message = "And Google's Identity-Aware Proxy SSH alone."
  }

  assert {
    condition     = length(google_compute_router_nat.internet) == 0
    error_message = "There is no way out to the internet."
  }

  assert {
    condition     = google_compute_subnetwork.jobs.region == "europe-west1" && google_compute_subnetwork.jobs.ip_cidr_range == "10.10.0.0/20" && google_compute_subnetwork.jobs.stack_type == "IPV4_ONLY"
    error_message = "The subnet is in the region, with the addresses that were asked for."
  }

  assert {
    condition     = one(google_compute_subnetwork.jobs.log_config).flow_sampling > 0 && alltrue([for rule in [google_compute_firewall.spark, google_compute_firewall.mlflow, google_compute_firewall.ssh] : length(rule.log_config) == 1])
    error_message = "What flows, and what a firewall lets in, is logged."
  }

  assert {
    condition     = alltrue([for rule in [google_compute_firewall.spark, google_compute_firewall.mlflow, google_compute_firewall.ssh] : rule.direction == "INGRESS" && !coalesce(rule.disabled, false) && !contains(rule.source_ranges, "0.0.0.0/0")])
    error_message = "Each rule is on, and none is for the world."
  }

  assert {
    condition     = google_compute_address.airflow.address_type == "INTERNAL" && google_compute_global_address.services.address_type == "INTERNAL" && google_compute_global_address.services.purpose == "VPC_PEERING"
    error_message = "No address here is public."
  }
}

run "internet" {
  command = plan
  variables {
    internet = true
  }
  module {
    source = "./modules/network"
  }

  assert {
    condition     = one(google_compute_router_nat.internet).nat_ip_allocate_option == "AUTO_ONLY" && length(google_compute_router.internet) == 1
    error_message = "Unless it was asked for."
  }

  assert {
    condition     = one(google_compute_router_nat.internet).source_subnetwork_ip_ranges_to_nat == "LIST_OF_SUBNETWORKS" && one(google_compute_router_nat.internet).type != "PRIVATE"
    error_message = "Only the subnet of the jobs goes out."
  }
}
