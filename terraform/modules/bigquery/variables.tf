variable "project_id" {
  description = "The project of the datasets."
  type        = string
}

variable "region" {
  description = "Where the tables lie."
  type        = string
}

variable "publisher" {
  description = "Mail address of the account that writes tables and views."
  type        = string
}

variable "readers" {
  description = "Mail addresses of the groups that may read the published tables themselves."
  type        = list(string)
}

variable "analysts" {
  description = "Mail addresses of the groups that may read the views."
  type        = list(string)
}
