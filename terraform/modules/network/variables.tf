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
