variable "region" {
  description = "Region of the subnet."
  type        = string
}

variable "subnet_cidr" {
  description = "Addresses of the subnet."
  type        = string
}
