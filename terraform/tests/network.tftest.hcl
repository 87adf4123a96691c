mock_provider "google" {}

variables {
  region      = "europe-west1"
  subnet_cidr = "10.10.0.0/20"
  mlflow_port = 5000
  internet    = false
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
    condition     = google_compute_firewall.mlflow.source_ranges == toset(["${google_compute_global_address.services.address}/20"]) && one(google_compute_firewall.mlflow.allow).ports == tolist(["5000"])
    error_message = "Beside it, Google's services reach MLflow alone."
  }

  assert {
    condition     = google_compute_firewall.ssh.source_ranges == toset(["35.235.240.0/20"]) && one(google_compute_firewall.ssh.allow).ports == tolist(["22"])
    error_message = "And Google's Identity-Aware Proxy SSH alone."
  }

  assert {
    condition     = length(google_compute_router_nat.internet) == 0
    error_message = "There is no way out to the internet."
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
}
