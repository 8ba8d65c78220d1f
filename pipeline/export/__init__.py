"""A dataset in the forms that other tools read: COCO, SA-1B, YOLO, PNG label maps, WebDataset, Lance."""
