variable "region" {
  description = "Region of the subnet."
  type        = string
}

variable "subnet_cidr" {
  description = "Addresses of the subnet."
  type        = string
}

variable "mlflow_port" {
  description = "Where MLflow listens in the subnet; training jobs log to it."
  type        = number
}

variable "internet" {
  description = "Whether there is a Cloud NAT."
  type        = bool
}

variable "vertex_prefix" {
  description = "Length of the prefix of the range of Vertex AI's jobs: 18 has room for 15 jobs at once, 17 for 31, 16 for 63."
  type        = number
}
