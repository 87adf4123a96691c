variable "region" {
  description = "Where the images lie."
  type        = string
}

variable "readers" {
  description = "IAM members that pull images."
  type        = list(string)
}

variable "writers" {
  description = "IAM members that push images."
  type        = list(string)
}
